//! Carries out what the update wants: pages, letters, actions. Each answer comes back as an event.

use std::time::Duration;

use streamherd::error::StoreError;
use streamherd::{Admin, Cursor, DeadLetterFilter, LeaseQuery, LeaseState, LetterId, PauseTarget, Reference};
use streamherd_dashboard::Sampler;
use streamherd_dashboard::view::{LetterQuery, PendingQuery, ViewError, Views};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::action::{self, Action, From, Whom};
use super::convert;
use super::update::{Effect, Event, Page, Query, What};
use crate::failure::in_one_line;

/// How long an action may take: a stream that is not coalesced is looked for.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub(super) struct Hands {
    admin: Admin,
    views: Views,
    sampler: Sampler,
    events: mpsc::UnboundedSender<Event>,
}

impl Hands {
    pub(super) fn new(admin: Admin, sampler: Sampler, events: mpsc::UnboundedSender<Event>) -> Self {
        Self {
            views: Views::new(admin.clone()),
            admin,
            sampler,
            events,
        }
    }

    /// Begins to carry it out; leaving is the loop's.
    pub(super) fn begin(&self, effect: Effect) {
        let hands = self.clone();
        tokio::spawn(async move {
            let event = match effect {
                Effect::Load(serial, query) => {
                    let page = hands.load(query).await;
                    Event::Loaded(serial, page.map_err(|e| in_one_line(&e)))
                }
                Effect::Read(letter) => {
                    let read = hands.read(letter).await;
                    Event::Read(letter, Box::new(read.map_err(|e| in_one_line(&e))))
                }
                Effect::Act(action) => Event::Acted(hands.act(action).await),
                Effect::Leave => return,
            };
            // Nobody is there any more when the screen is left.
            let _ = hands.events.send(event);
        });
    }

    async fn load(&self, query: Query) -> Result<Page, ViewError> {
        let Query { what, after, limit } = query;
        // Only what a page has told gets here.
        let cursor = || after.as_deref().and_then(|after| after.parse::<Cursor>().ok());
        Ok(match what {
            What::Leases { orphans, owner } => {
                let wanted = LeaseQuery {
                    state: orphans.then_some(LeaseState::Orphan),
                    consumer: owner,
                };
                let after = cursor();
                let page = self.views.pending(PendingQuery { wanted, after, limit }).await?;
                let rows = page.leases.iter().map(convert::lease).collect();
                Page::Leases(rows, page.next.as_ref().map(ToString::to_string))
            }
            What::Delayed => {
                let page = self.views.delayed(cursor(), limit).await?;
                let rows = page.delayed.iter().map(convert::delayed).collect();
                Page::Delayed(rows, page.next.as_ref().map(ToString::to_string))
            }
            What::Letters { reason, stream } => {
                let query = LetterQuery {
                    reason,
                    older_than: None,
                    stream,
                    after: after.as_deref().and_then(|after| after.parse().ok()),
                    limit,
                };
                let page = self.views.dead_letters(query).await?;
                let rows = page.dead_letters.iter().map(convert::letter).collect();
                Page::Letters(rows, page.next.as_ref().map(ToString::to_string))
            }
        })
    }

    async fn read(&self, letter: LetterId) -> Result<Option<super::model::Inspect>, ViewError> {
        let letter = self.views.dead_letter(letter).await?;
        Ok(letter.as_deref().map(convert::whole_letter))
    }

    async fn act(&self, action: Action) -> Result<String, String> {
        let done = match timeout(PATIENCE, self.carry_out(action)).await {
            Ok(Ok(told)) => told,
            Ok(Err(e)) => Err(in_one_line(&e)),
            Err(_) => Err(format!(
                "Redis did not answer within {} s; whether it was done shows when Redis is back.",
                PATIENCE.as_secs()
            )),
        };
        // What is looked at next is to show it.
        self.views.forget();
        self.sampler.look_again();
        done
    }

    async fn carry_out(&self, action: Action) -> Result<Result<String, String>, StoreError> {
        match action {
            Action::Redrive { letter, .. } => {
                let mut run = self.admin.redrive(DeadLetterFilter::default().ids([letter]));
                let handled = run.next().await?;
                Ok(action::redriven(handled.as_ref().map(|handled| &handled.outcome)))
            }
            Action::Requeue {
                partition,
                id,
                stream,
                from,
            } => {
                let outcome = match (id.parse::<Reference>(), stream) {
                    // This very entry: another run of its name, or its next owner, was not asked about.
                    (Ok(entry), _) => {
                        let force = matches!(from, From::Owner(_));
                        self.admin.requeue_entry(partition, entry, force).await?
                    }
                    // Another program's, which waits until it is due. Nothing is taken from anybody for it.
                    (Err(_), Some(name)) => self.admin.find_and_requeue(&name, false).await?.outcome,
                    (Err(_), None) => {
                        return Ok(Err(
                            "It has no readable name, and its id is another program's.".to_owned()
                        ));
                    }
                };
                Ok(action::requeued(&outcome))
            }
            Action::Pause { pause, whom } => {
                let target = match whom {
                    Whom::Service => PauseTarget::Service,
                    Whom::Consumer(whom) | Whom::Name(whom) => PauseTarget::Consumer(whom),
                };
                let changed = if pause {
                    self.admin.pause(&target).await?
                } else {
                    self.admin.resume(&target).await?
                };
                Ok(Ok(action::paused(pause, changed)))
            }
        }
    }
}
