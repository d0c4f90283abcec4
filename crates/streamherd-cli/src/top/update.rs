//! What each key and each answer changes, and what is to be done for it. Pure.

mod keys;

use std::time::Duration;

use streamherd::{DeadLetterReason, LetterId};

use super::action::Action;
use super::model::{Inspect, Model, Over, Subject, View};
use super::rows::{DelayedRow, LeaseRow, LetterRow, Picture};

/// A key, as far as any means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    /// Ctrl-C.
    Leave,
}

/// What happens.
#[derive(Debug)]
pub(super) enum Event {
    Key(Key),
    /// Text as a whole, which means something only where text is typed.
    Pasted(String),
    Resized(u16, u16),
    Sampled(Box<Picture>),
    /// The answer to the load of this number.
    Loaded(u64, Result<Page, String>),
    /// This dead letter with all its fields; [`None`] if there is no such letter any more.
    Read(LetterId, Box<Result<Option<Inspect>, String>>),
    Acted(Result<String, String>),
}

/// Rows, and where the next ones begin.
#[derive(Debug)]
pub(super) enum Page {
    Leases(Vec<LeaseRow>, Option<String>),
    Delayed(Vec<DelayedRow>, Option<String>),
    Letters(Vec<LetterRow>, Option<String>),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    Load(u64, Query),
    Read(LetterId),
    Act(Action),
    Leave,
}

/// A page that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    pub(super) what: What,
    pub(super) after: Option<String>,
    pub(super) limit: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Leases {
        orphans: bool,
        owner: Option<String>,
    },
    Delayed,
    Letters {
        reason: Option<DeadLetterReason>,
        stream: Option<String>,
    },
}

/// Changes the model, and says what is to be done for it.
pub(super) fn update(model: &mut Model, event: Event) -> Vec<Effect> {
    match event {
        Event::Key(key) => keys::pressed(model, key),
        Event::Pasted(text) => {
            keys::pasted(model, &text);
            Vec::new()
        }
        Event::Resized(columns, rows) => {
            model.size = (columns, rows);
            Vec::new()
        }
        Event::Sampled(picture) => {
            let place = model.consumer_place();
            model.picture = *picture;
            if model.consumer.1.is_some() {
                let place = if model.consumers().is_empty() {
                    place
                } else {
                    model.consumer_place()
                };
                model.mark_consumer(place);
            }
            model.partition = model.partition.min(model.picture.partitions.len().saturating_sub(1));
            // An answer that is under way will do.
            if model.asked.is_some() { Vec::new() } else { load(model) }
        }
        Event::Loaded(serial, answer) => {
            if model.asked == Some(serial) {
                model.asked = None;
                loaded(model, answer);
            }
            Vec::new()
        }
        Event::Read(letter, answer) => {
            read(model, letter, *answer);
            Vec::new()
        }
        Event::Acted(outcome) => {
            model.over = Some(Over::Told(outcome));
            load(model)
        }
    }
}

/// Asks for the page of the view anew.
fn load(model: &mut Model) -> Vec<Effect> {
    let filters = &model.filters;
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let (what, after) = match model.view {
        View::Leases => (
            What::Leases {
                orphans: filters.orphans,
                owner: given(&filters.owner),
            },
            model.leases.after(),
        ),
        View::Delayed => (What::Delayed, model.delayed.after()),
        View::Letters => (
            What::Letters {
                reason: filters.reason,
                stream: given(&filters.stream),
            },
            model.letters.after(),
        ),
        // These are in the picture.
        View::Overview | View::Consumers | View::Partitions => {
            model.asked = None;
            return Vec::new();
        }
    };
    model.serial += 1;
    model.asked = Some(model.serial);
    let limit = model.room();
    vec![Effect::Load(model.serial, Query { what, after, limit })]
}

fn loaded(model: &mut Model, answer: Result<Page, String>) {
    let now: Duration = model.now;
    match answer {
        Ok(Page::Leases(rows, next)) => model.leases.show(rows, next, now),
        Ok(Page::Delayed(rows, next)) => model.delayed.show(rows, next, now),
        Ok(Page::Letters(rows, next)) => model.letters.show(rows, next, now),
        Err(error) => match model.view {
            View::Leases => model.leases.failed(error),
            View::Delayed => model.delayed.failed(error),
            View::Letters => model.letters.failed(error),
            View::Overview | View::Consumers | View::Partitions => {}
        },
    }
}

/// The whole letter takes the place of what its row said, if that is still looked at.
fn read(model: &mut Model, letter: LetterId, answer: Result<Option<Inspect>, String>) {
    let Some(Over::Inspect(open)) = &mut model.over else {
        return;
    };
    if !matches!(&open.subject, Some(Subject::Letter(row)) if row.id == letter) {
        return;
    }
    match answer {
        Ok(Some(whole)) => {
            let scroll = open.scroll;
            *open = Inspect {
                scroll,
                subject: open.subject.take(),
                ..whole
            };
        }
        Ok(None) => open.facts.push((
            "fields".to_owned(),
            "it is no dead letter any more: redriven, purged or trimmed meanwhile".to_owned(),
        )),
        Err(why) => open.facts.push(("fields".to_owned(), format!("not read: {why}"))),
    }
}

#[cfg(test)]
mod tests;
