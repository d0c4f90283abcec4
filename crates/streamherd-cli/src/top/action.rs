//! What an operator may do, with the question that comes before it. Pure.

use streamherd::{LetterId, LetterOutcome, RequeueOutcome};

use super::model::{Marked, Model};
use super::rows::{ConsumerRow, Picture};
use super::text::shown;
use crate::failure::in_one_line;
use crate::human::span;

/// Something that changes the service.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Redrive {
        letter: LetterId,
        stream: Option<String>,
    },
    Requeue {
        partition: u16,
        id: String,
        stream: Option<String>,
        from: From,
    },
    Pause {
        pause: bool,
        whom: Whom,
    },
}

/// Where a stream is taken from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum From {
    /// Its owner, which lives.
    Owner(String),
    Orphans,
    Delayed,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Whom {
    Service,
    /// One, by its id.
    Consumer(String),
    /// All of a name.
    Name(String),
}

impl Action {
    /// Redrives what is marked.
    pub(super) fn redrive(marked: Option<Marked<'_>>) -> Result<Self, &'static str> {
        match marked {
            Some(Marked::Letter(letter)) => Ok(Self::Redrive {
                letter: letter.id,
                stream: letter.stream.clone(),
            }),
            _ => Err("Mark a dead letter to redrive it (5 lists them)."),
        }
    }

    /// Puts what is marked on the queue again.
    pub(super) fn requeue(marked: Option<Marked<'_>>) -> Result<Self, &'static str> {
        match marked {
            Some(Marked::Lease(lease)) => Ok(Self::Requeue {
                partition: lease.partition,
                id: lease.id.clone(),
                stream: lease.stream.clone(),
                from: if lease.orphan {
                    From::Orphans
                } else {
                    From::Owner(lease.consumer.clone())
                },
            }),
            Some(Marked::Delayed(delayed)) => Ok(Self::Requeue {
                partition: delayed.partition,
                id: delayed.id.clone(),
                stream: delayed.stream.clone(),
                from: From::Delayed,
            }),
            _ => Err("Mark a lease or a delayed stream to queue it again (3 and 4 list them)."),
        }
    }

    /// Pauses or resumes the consumer that is marked, else the service.
    pub(super) fn pause(model: &Model) -> Result<Self, &'static str> {
        if !model.picture.known {
            return Err("Redis has not answered yet, so it is not known what is paused.");
        }
        Ok(match model.subject() {
            Some(Marked::Consumer(row)) => Self::pause_of(&model.picture, row),
            _ => Self::Pause {
                pause: model.picture.paused_ms.is_none(),
                whom: Whom::Service,
            },
        })
    }

    fn pause_of(picture: &Picture, row: &ConsumerRow) -> Self {
        let is_paused = |whom: &str| picture.pauses.iter().any(|(paused, _)| paused == whom);
        let (id, name) = (
            row.consumer.as_str(),
            row.consumer.rsplit_once('.').map(|(name, _)| name),
        );
        let (pause, whom) = match name {
            _ if is_paused(id) => (false, Whom::Consumer(id.to_owned())),
            Some(name) if is_paused(name) => (false, Whom::Name(name.to_owned())),
            _ => (true, Whom::Consumer(id.to_owned())),
        };
        Self::Pause { pause, whom }
    }

    /// What is asked before it is done: a title, and what will happen.
    pub(super) fn question(&self, service: &str) -> (String, String) {
        match self {
            Self::Redrive { letter, stream } => (
                format!(
                    "Redrive the dead letter of {}?",
                    named(stream.as_deref(), &letter.to_string())
                ),
                "It goes to the front of the queue, and its failures count from zero.".to_owned(),
            ),
            Self::Requeue { id, stream, from, .. } => {
                let name = named(stream.as_deref(), id);
                match from {
                    From::Owner(owner) => (
                        format!("Take {name} from its owner?"),
                        format!(
                            "It goes to the front of the queue. {} loses its lease and may work on for up to a heartbeat: only fencing tokens keep its side effects out. This counts no failure.",
                            shown(owner)
                        ),
                    ),
                    From::Orphans => (
                        format!("Queue {name} again?"),
                        "It goes to the front of the queue without waiting for the scan. This counts no failure."
                            .to_owned(),
                    ),
                    From::Delayed => (
                        format!("Queue {name} now?"),
                        "It doesn't wait until it is due. This counts no failure.".to_owned(),
                    ),
                }
            }
            Self::Pause { pause, whom } => {
                let verb = if *pause { "Pause" } else { "Resume" };
                let happens = match (pause, whom) {
                    (true, Whom::Consumer(_)) => {
                        "It is handed no new streams until somebody resumes it. What it holds goes on. When it restarts it has another id, and is not paused."
                    }
                    (true, _) => {
                        "No new streams are handed out, also after a restart, until somebody resumes it. What is held goes on."
                    }
                    (false, _) => "Streams are handed out again.",
                };
                (format!("{verb} {}?", whom.told(service)), happens.to_owned())
            }
        }
    }

    /// What it is called while it is under way.
    pub(super) const fn doing(&self) -> &'static str {
        match self {
            Self::Redrive { .. } => "Redriving …",
            Self::Requeue { .. } => "Queueing again …",
            Self::Pause { pause: true, .. } => "Pausing …",
            Self::Pause { .. } => "Resuming …",
        }
    }
}

impl Whom {
    pub(super) fn told(&self, service: &str) -> String {
        match self {
            Self::Service => format!("service {}", shown(service)),
            Self::Consumer(id) => format!("consumer {}", shown(id)),
            Self::Name(name) => format!("all consumers named {}", shown(name)),
        }
    }
}

/// Names can be a kilobyte long, and the question is to be read.
fn named(stream: Option<&str>, id: &str) -> String {
    match stream {
        Some(name) => format!("“{}”", super::text::cut(&shown(name), 120)),
        None => shown(id),
    }
}

/// What became of a dead letter.
pub(super) fn redriven(outcome: Option<&LetterOutcome>) -> Result<String, String> {
    match outcome {
        Some(LetterOutcome::Redriven(reference)) => {
            let place = reference.map(|at| format!(" as {at}")).unwrap_or_default();
            Ok(format!("Redriven: it is queued again{place}."))
        }
        Some(LetterOutcome::Coalesced(at)) => Ok(format!(
            "Its stream is queued, delayed or held already, as {at}; it will be worked on once more if need be."
        )),
        Some(LetterOutcome::Superseded) => {
            Err("It is still a dead letter: newer info of its stream is waiting already.".to_owned())
        }
        Some(LetterOutcome::TooLarge) => Err("It is still a dead letter: no reader would take it.".to_owned()),
        Some(LetterOutcome::Failed(e)) => Err(format!("It is still a dead letter: {}", in_one_line(e))),
        Some(LetterOutcome::Gone) | None => {
            Err("It is no dead letter any more: somebody was faster, or it was trimmed.".to_owned())
        }
        Some(other) => Ok(format!("{}.", other.as_str())),
    }
}

/// What became of a stream that is wanted on the queue.
pub(super) fn requeued(outcome: &RequeueOutcome) -> Result<String, String> {
    match outcome {
        RequeueOutcome::AlreadyQueued { entry } => Ok(format!(
            "It waits for a worker already, as {entry}; nothing was changed."
        )),
        RequeueOutcome::MadeDue { entry } => Ok(format!("It is on the queue now, as {entry}.")),
        RequeueOutcome::Requeued { entry } => Ok(format!("It is at the front of the queue now, as {entry}.")),
        RequeueOutcome::Held { consumer, remaining_ms } => Err(format!(
            "Held by {}, whose lock lives for {} without a heartbeat; nothing was changed.",
            shown(consumer),
            span(*remaining_ms)
        )),
        RequeueOutcome::TooLarge { entry } => Err(format!(
            "{entry} is too large to be queued again; the scan will put it to the dead letters."
        )),
        RequeueOutcome::NotFound { complete: false } => {
            Err("Not found among the first entries; there are too many to look at all.".to_owned())
        }
        RequeueOutcome::NotFound { .. } => Err("It has moved on; look again. Nothing was changed.".to_owned()),
        other => Err(format!("{other:?}")),
    }
}

/// What a pause or its end has changed.
pub(super) fn paused(pause: bool, changed: bool) -> String {
    match (pause, changed) {
        (true, true) => "It is paused.",
        (true, false) => "It was paused already.",
        (false, true) => "It is resumed.",
        (false, false) => "It was not paused.",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(id: &str) -> ConsumerRow {
        ConsumerRow {
            consumer: id.to_owned(),
            ..ConsumerRow::default()
        }
    }

    #[test]
    fn a_pause_is_taken_back_as_it_was_made() {
        let picture = |pauses: &[&str]| Picture {
            pauses: pauses.iter().map(|whom| ((*whom).to_owned(), 1)).collect(),
            ..Picture::default()
        };
        let (id, name) = ("pod-7.abc".to_owned(), "pod-7".to_owned());
        for (pauses, pause, whom) in [
            (&[][..], true, Whom::Consumer(id.clone())),
            (&["pod-7.abc", "pod-7"], false, Whom::Consumer(id)),
            (&["pod-7"], false, Whom::Name(name)),
        ] {
            let action = Action::pause_of(&picture(pauses), &consumer("pod-7.abc"));
            assert_eq!(action, Action::Pause { pause, whom });
        }
    }

    #[test]
    fn a_question_says_what_will_happen_and_names_nothing_that_steers() {
        let lease = Action::Requeue {
            partition: 0,
            id: "5-1".to_owned(),
            stream: Some("a\u{1b}[2J".to_owned()),
            from: From::Owner("w\n.1".to_owned()),
        };
        let (title, body) = lease.question("orders");
        assert_eq!(title, "Take “a\\u{1b}[2J” from its owner?");
        assert!(body.contains("w\\n.1 loses its lease"), "{body}");
        let unnamed = Action::Redrive {
            letter: "2/5-1".parse().unwrap(),
            stream: None,
        };
        assert_eq!(unnamed.question("orders").0, "Redrive the dead letter of 2/5-1?");
        let long = Action::Redrive {
            letter: "2/5-1".parse().unwrap(),
            stream: Some("x".repeat(1_000)),
        };
        assert!(long.question("orders").0.len() < 160);
    }
}
