use std::time::Duration;

use super::hello::millis;
use super::lease::{failure, outcomes};
use super::reply::Reply;
use super::script::{Call, LIST, LOOK, REQUEUE};
use super::{Judged, RawEntry, Store, StoreError};
use crate::dead_letter::DeadLetterReason;
use crate::entry::{MAX_ENTRY_BYTES, MAX_FIELDS};
use crate::id::{EntryId, Epoch, Lane};
use crate::trace::TraceContext;

/// What became of one entry that seemed to be an orphan.
#[derive(Debug)]
pub(crate) enum Requeued {
    /// Back at the front of the queue under this id, after it had been pending that long.
    Ok {
        new: EntryId,
        idle: Duration,
        trace: Option<TraceContext>,
    },
    DeadLettered {
        reason: DeadLetterReason,
        trimmed: u64,
        trace: Option<TraceContext>,
    },
    Alive,
    /// Not pending: a rival was first, or the owner finished it.
    Gone,
    TooEarly(Duration),
    Vanished,
    Later,
    Failed(StoreError),
}

/// The limits that a re-queue may run into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequeueLimits {
    pub(crate) min_idle: Duration,
    pub(crate) max_abandonments: u32,
    /// Zero: never.
    pub(crate) forgive_after: Duration,
    pub(crate) dlq_max_len: u64,
}

/// How a listing treats the gate that keeps a fleet from scanning all at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    /// How long it is closed to others from now.
    pub(crate) keep: Duration,
    /// Whether another worker's closed gate stops this listing.
    pub(crate) respect: bool,
}

/// A page of one lane's pending entries.
#[derive(Debug)]
pub(crate) enum Listing {
    /// Another worker scans at present.
    GateTaken {
        /// How long until a delayed entry is due; [`None`] where there is none.
        due: Option<Duration>,
    },
    Page {
        /// Where to go on, if there is more.
        cursor: Option<String>,
        looked_at: u64,
        /// Entries pending in the lane.
        pending: u64,
        /// What the walk cost Redis.
        cost: Duration,
        candidates: Vec<EntryId>,
        /// What will be orphans soon, if nobody renews their locks.
        soon: Option<Soon>,
        /// How long until a delayed entry is due; [`None`] where there is none.
        due: Option<Duration>,
    },
}

/// How long until the first and the last of some entries are orphans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Soon {
    pub(crate) first: Duration,
    pub(crate) last: Duration,
}

/// What stands behind the expiry event of a lock.
#[derive(Debug)]
pub(crate) enum Looked {
    Orphan {
        entry: RawEntry,
        owner: String,
        idle: Duration,
    },
    /// Alive again, finished, or re-queued.
    Nothing,
}

/// What an entry said of its trace, which anybody may have written.
fn trace(answer: Reply<'_>, index: usize) -> Option<TraceContext> {
    let said = answer.list().ok()?.nth(index)?;
    TraceContext::read(said.bytes().ok()?).ok()
}

impl Store {
    /// Re-queues what is an orphan, each once among any number of rivals, unless the server's clock is past `latest_us`
    /// (zero: any). May be repeated.
    pub(crate) async fn requeue(
        &self,
        epoch: &Epoch,
        limits: RequeueLimits,
        latest_us: u64,
        ids: &[EntryId],
    ) -> Result<Judged<Vec<Requeued>>, StoreError> {
        let keys = &self.keys;
        let mut call = Call::on(keys)
            .arg(epoch.arg())
            .number(millis(limits.min_idle))
            .number(limits.max_abandonments.into())
            .number(millis(limits.forgive_after))
            .number(limits.dlq_max_len)
            .number(MAX_FIELDS as u64)
            .number(MAX_ENTRY_BYTES as u64)
            .number(latest_us);
        for id in ids {
            call = call.key(keys.lock(id)).arg(id.to_string());
        }
        let value = self.line.run(&REQUEUE, call, self.timeout).await?;
        outcomes(Reply::new(REQUEUE.name, &value), ids.len(), |one| {
            Ok(Some(match one.outcome()? {
                "requeued" => Requeued::Ok {
                    new: one.at(1)?.parsed()?,
                    idle: Duration::from_millis(one.at(2)?.number()?),
                    trace: trace(one, 3),
                },
                "dead" => Requeued::DeadLettered {
                    reason: one.at(2)?.parsed()?,
                    trimmed: one.at(3)?.number()?,
                    trace: trace(one, 4),
                },
                "alive" => Requeued::Alive,
                "gone" => Requeued::Gone,
                "early" => Requeued::TooEarly(Duration::from_millis(one.at(1)?.number()?)),
                "vanished" => Requeued::Vanished,
                "later" => Requeued::Later,
                "nogroup" => return Ok(None),
                _ => Requeued::Failed(failure(REQUEUE.name, one)?),
            }))
        })
    }

    /// One page of a lane's entries that have been pending for `min_idle` and have no live lock, and a word of those that come
    /// to that within `ahead`. Each page closes the gate for that long; only one that respects the gate is refused while
    /// another worker keeps it closed.
    pub(crate) async fn list(
        &self,
        epoch: &Epoch,
        lane: Lane,
        gate: Gate,
        cursor: Option<&str>,
        min_idle: Duration,
        ahead: Duration,
    ) -> Result<Judged<Listing>, StoreError> {
        let keys = &self.keys;
        let call = Call::on(keys)
            .arg(epoch.arg())
            .arg(self.consumer.as_str())
            .arg(lane.as_str())
            .number(millis(gate.keep).max(1))
            .arg(cursor.unwrap_or("-"))
            .number(millis(min_idle))
            .number(millis(ahead))
            .arg(keys.lock_prefix())
            .arg(if gate.respect { "1" } else { "0" });
        let value = self.line.run(&LIST, call, self.timeout).await?;
        let reply = Reply::new(LIST.name, &value);
        match reply.outcome()? {
            "epoch" => return Ok(Judged::EpochChanged),
            "quiet" => return Ok(Judged::Quiet(super::lease::quiet(reply)?)),
            "gate" => {
                return Ok(Judged::Ok(Listing::GateTaken {
                    due: reply.at(1)?.wait()?,
                }));
            }
            "ok" => {}
            _ => return Err(reply.unexpected("an outcome of list")),
        }
        let cursor = reply.at(1)?.text()?;
        let candidates = reply
            .at(4)?
            .list()?
            .map(|id| {
                Ok(EntryId {
                    lane,
                    id: id.stream_id()?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Judged::Ok(Listing::Page {
            cursor: (!cursor.is_empty()).then(|| cursor.to_owned()),
            looked_at: reply.at(2)?.number()?,
            pending: reply.at(5)?.number()?,
            cost: Duration::from_micros(reply.at(3)?.number()?),
            candidates,
            soon: match (reply.at(6)?.wait()?, reply.at(7)?.wait()?) {
                (Some(first), Some(last)) => Some(Soon { first, last }),
                _ => None,
            },
            due: reply.at(8)?.wait()?,
        }))
    }

    /// Keeps the gate closed for that long after an expensive scan. Whoever says so last has just paid for one.
    pub(crate) async fn hold_gate(&self, span: Duration) -> Result<(), StoreError> {
        let args = vec![
            self.keys.scan.as_str().into(),
            self.consumer.as_str().into(),
            "PX".into(),
            millis(span).max(1).to_string().into(),
        ];
        self.line.command("gate", "SET", args, self.timeout).await.map(drop)
    }

    /// Looks at entries whose locks were reported as expired. Changes nothing.
    pub(crate) async fn look(&self, epoch: &Epoch, ids: &[EntryId]) -> Result<Judged<Vec<Looked>>, StoreError> {
        let keys = &self.keys;
        let mut call = Call::on(keys).arg(epoch.arg());
        for id in ids {
            call = call.key(keys.lock(id)).arg(id.to_string());
        }
        let value = self.line.run(&LOOK, call, self.timeout).await?;
        let mut id = ids.iter();
        outcomes(Reply::new(LOOK.name, &value), ids.len(), |one| {
            let id = *id.next().ok_or_else(|| one.unexpected("an entry asked for"))?;
            Ok(match one.outcome()? {
                "orphan" => Some(Looked::Orphan {
                    owner: super::inspect::lossy(one.at(1)?)?,
                    idle: Duration::from_millis(one.at(2)?.number()?),
                    entry: RawEntry {
                        id,
                        fields: one.at(3)?.fields()?,
                    },
                }),
                "nogroup" => None,
                _ => Some(Looked::Nothing),
            })
        })
    }
}
