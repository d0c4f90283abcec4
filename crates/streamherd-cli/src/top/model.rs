//! All that `top` knows at a moment. Pure: no I/O, no clock of its own.

use std::time::Duration;

use streamherd::DeadLetterReason;

use super::action::Action;
use super::list::{List, place_of};
use super::rows::{ConsumerRow, DelayedRow, LeaseRow, LetterRow, PartitionRow, Picture, Row as _};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum View {
    #[default]
    Overview,
    Consumers,
    Leases,
    Delayed,
    Letters,
    Partitions,
}

impl View {
    pub(super) const ALL: [Self; 6] = [
        Self::Overview,
        Self::Consumers,
        Self::Leases,
        Self::Delayed,
        Self::Letters,
        Self::Partitions,
    ];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Consumers => "Consumers",
            Self::Leases => "Leases",
            Self::Delayed => "Delayed",
            Self::Letters => "Dead letters",
            Self::Partitions => "Partitions",
        }
    }

    pub(super) fn place(self) -> usize {
        Self::ALL.iter().position(|view| *view == self).unwrap_or_default()
    }

    /// The one so many further on, around the corner.
    pub(super) fn turned(self, by: usize) -> Self {
        let at = (self.place() + by) % Self::ALL.len();
        Self::ALL.get(at).copied().unwrap_or_default()
    }
}

/// What lies over the view.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Over {
    Help,
    /// A row with all it has.
    Inspect(Inspect),
    /// Text that is being typed, which the view will be filtered by.
    Prompt(String),
    Ask(Action),
    Acting(Action),
    /// What became of it, or why nothing did.
    Told(Result<String, String>),
}

/// Facts line by line; scrolled.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Inspect {
    pub(super) title: String,
    /// A name and what is to be said of it; without a name a heading.
    pub(super) facts: Vec<(String, String)>,
    pub(super) scroll: usize,
    /// What is acted on meanwhile, whatever becomes of the list behind.
    pub(super) subject: Option<Subject>,
}

/// One row of any list.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Subject {
    Consumer(ConsumerRow),
    Lease(LeaseRow),
    Delayed(DelayedRow),
    Letter(LetterRow),
}

/// The same, where it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Marked<'a> {
    Consumer(&'a ConsumerRow),
    Lease(&'a LeaseRow),
    Delayed(&'a DelayedRow),
    Letter(&'a LetterRow),
    Partition(&'a PartitionRow),
}

impl Subject {
    const fn as_marked(&self) -> Marked<'_> {
        match self {
            Self::Consumer(row) => Marked::Consumer(row),
            Self::Lease(row) => Marked::Lease(row),
            Self::Delayed(row) => Marked::Delayed(row),
            Self::Letter(row) => Marked::Letter(row),
        }
    }
}

impl Marked<'_> {
    pub(super) fn to_subject(self) -> Option<Subject> {
        Some(match self {
            Self::Consumer(row) => Subject::Consumer(row.clone()),
            Self::Lease(row) => Subject::Lease(row.clone()),
            Self::Delayed(row) => Subject::Delayed(row.clone()),
            Self::Letter(row) => Subject::Letter(row.clone()),
            Self::Partition(_) => return None,
        })
    }
}

/// By what lists are filtered.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Filters {
    /// A part of the ids of consumers.
    pub(super) consumers: String,
    pub(super) orphans: bool,
    /// The id of one consumer, whose leases are shown.
    pub(super) owner: String,
    pub(super) reason: Option<DeadLetterReason>,
    /// The data stream, whose dead letters are shown.
    pub(super) stream: String,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) service: String,
    pub(super) read_only: bool,
    /// No colours.
    pub(super) plain: bool,
    /// From one look at Redis to the next.
    pub(super) interval: Duration,
    /// Since the start.
    pub(super) now: Duration,
    /// Columns and rows of the terminal.
    pub(super) size: (u16, u16),
    pub(super) view: View,
    pub(super) picture: Picture,
    /// The one that is marked, which stays so while others come and go.
    pub(super) consumer: (usize, Option<String>),
    pub(super) partition: usize,
    pub(super) leases: List<LeaseRow>,
    pub(super) delayed: List<DelayedRow>,
    pub(super) letters: List<LetterRow>,
    pub(super) filters: Filters,
    pub(super) over: Option<Over>,
    /// Said below until the next key.
    pub(super) note: Option<String>,
    /// The page that was asked for last, while there is no answer.
    pub(super) asked: Option<u64>,
    pub(super) serial: u64,
}

/// Lines of the screen that are no rows of a list: header, views, two lines of the list's own, note, keys.
const AROUND: u16 = 6;

impl Model {
    /// How many rows of a list fit.
    pub(super) fn room(&self) -> usize {
        usize::from(self.size.1.saturating_sub(AROUND)).max(1)
    }

    /// The consumers that the filter lets through.
    pub(super) fn consumers(&self) -> Vec<&ConsumerRow> {
        let part = self.filters.consumers.as_str();
        let all = self.picture.consumers.iter();
        all.filter(|row| row.consumer.contains(part)).collect()
    }

    /// Its place among them.
    pub(super) fn consumer_place(&self) -> usize {
        let (place, key) = &self.consumer;
        let rows: Vec<ConsumerRow> = self.consumers().into_iter().cloned().collect();
        place_of(&rows, key.as_deref(), *place)
    }

    pub(super) fn mark_consumer(&mut self, place: usize) {
        let key = self.consumers().get(place).map(|row| row.key());
        self.consumer = (place, key);
    }

    /// What is marked in the view.
    pub(super) fn marked(&self) -> Option<Marked<'_>> {
        match self.view {
            View::Overview => None,
            View::Consumers => self
                .consumers()
                .get(self.consumer_place())
                .copied()
                .map(Marked::Consumer),
            View::Leases => self.leases.marked().map(Marked::Lease),
            View::Delayed => self.delayed.marked().map(Marked::Delayed),
            View::Letters => self.letters.marked().map(Marked::Letter),
            View::Partitions => self.picture.partitions.get(self.partition).map(Marked::Partition),
        }
    }

    /// What is acted on: what is inspected, else what is marked.
    pub(super) fn subject(&self) -> Option<Marked<'_>> {
        match &self.over {
            Some(Over::Inspect(Inspect {
                subject: Some(subject), ..
            })) => Some(subject.as_marked()),
            _ => self.marked(),
        }
    }

    /// How old the picture is.
    pub(super) const fn age(&self) -> Duration {
        self.now.saturating_sub(self.picture.taken)
    }

    /// Whether the picture is older than it should be.
    pub(super) fn is_stale(&self) -> bool {
        self.picture.error.is_some() || self.age() > self.interval * 4 + Duration::from_secs(1)
    }
}
