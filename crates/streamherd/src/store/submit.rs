use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fred::interfaces::{ClientLike as _, StreamsInterface};
use fred::types::Value;

use super::connection::options;
use super::hello::millis;
use super::packed::{Packer, Unpacker};
use super::reply::Reply;
use super::script::{Call, PROMOTE, SUBMIT};
use super::settle::LONGEST_DELAY_MS;
use super::{Judged, Store, StoreError};
use crate::dead_letter::DeadLetterReason;
use crate::entry::{INPUT_FIELD, TRACE_FIELD};
use crate::id::{EntryId, Epoch, Lane, Reference};
use crate::trace::TraceContext;

/// When a submitted stream is to be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Now,
    /// After this time, by the clock of Redis.
    After(Duration),
    /// At this time, compared with the clock of Redis.
    At(SystemTime),
}

/// What became of a submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Submitted {
    /// It is on the queue as this.
    New(Reference),
    /// The data stream was queued, delayed or held already, as this, and will be worked on once more if it has to be.
    Coalesced(Reference),
}

impl Submitted {
    /// Where the data stream waits or is held, whichever submit put it there.
    #[must_use]
    pub const fn reference(&self) -> Reference {
        match *self {
            Self::New(reference) | Self::Coalesced(reference) => reference,
        }
    }
}

/// What a producer knows of a submit that was accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted {
    pub(crate) submitted: Submitted,
    /// It is wanted once more after the run that the reference stands for.
    pub(crate) noted: bool,
}

impl Accepted {
    const fn new(reference: Reference) -> Self {
        Self {
            submitted: Submitted::New(reference),
            noted: false,
        }
    }
}

/// Where a submitted stream has to be before it counts as accepted.
///
/// Redis copies writes to its replicas after it has answered, so a failover can lose what was accepted last. No setting makes
/// that impossible, as a replica without the write can still be promoted; one that has it is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// In the memory of its master, as any Redis write. A failover or a crash of the server can lose it.
    #[default]
    Memory,
    /// In the memory of so many replicas too (`WAIT`).
    Replicas {
        /// At least so many; 1 or more.
        count: u32,
        /// How long to wait for them at most.
        within: Duration,
    },
    /// On the disk of its master, and on those of so many replicas too (`WAITAOF`). Needs Redis 7.2 or Valkey 7.2, with
    /// `appendonly yes` at the master and at the replicas that count. With `appendfsync everysec` that takes up to a second
    /// or two.
    Disk {
        /// At least so many replicas; 0 for the master alone.
        replicas: u32,
        /// How long to wait for the disks at most.
        within: Duration,
    },
}

/// What became of due entries.
#[derive(Debug)]
pub(crate) struct Promoted {
    pub(crate) outcomes: Vec<PromoteOutcome>,
    /// How long until the next entry is due; [`None`] where there is none.
    pub(crate) next: Option<Duration>,
}

#[derive(Debug)]
pub(crate) enum PromoteOutcome {
    Ok(EntryId),
    /// Its body was unreadable.
    DeadLettered {
        id: String,
        reason: DeadLetterReason,
        trimmed: u64,
    },
    Vanished,
    Later,
    Failed(StoreError),
}

/// A stream that is to be put on the queue.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) input: String,
    pub(crate) when: When,
    /// The name that it is coalesced by. With one it may be submitted again.
    pub(crate) coalesce: Option<String>,
    pub(crate) trace: Option<TraceContext>,
}

impl Submission {
    /// Bytes that are sent for it.
    pub(crate) fn size(&self) -> usize {
        let trace = self.trace.map_or(0, |_| TraceContext::LENGTH);
        self.input.len() + self.coalesce.as_ref().map_or(0, String::len) + trace
    }
}

impl Store {
    /// Puts streams on the queue, in their order; as many of them as one call may take, and one at least. What is left is to be
    /// submitted again.
    ///
    /// # Errors
    /// None of them is there, or nobody knows of any; see [`StoreError::is_certain`].
    pub(crate) async fn submit(&self, streams: &[Submission]) -> Result<Vec<Result<Accepted, StoreError>>, StoreError> {
        if let [one] = streams
            && one.when == When::Now
            && one.coalesce.is_none()
        {
            return Ok(vec![Ok(self.add(one).await?)]);
        }
        let mut packed = Packer::array(streams.len() * 4);
        for one in streams {
            let (word, ms) = match one.when {
                When::Now => ("now", 0),
                When::After(delay) => ("after", millis(delay).min(LONGEST_DELAY_MS)),
                When::At(time) => ("at", unix_millis(time)),
            };
            packed
                .text(word)
                .display(&ms)
                .text(one.coalesce.as_deref().unwrap_or_default())
                .text(&one.input);
        }
        let mut call = Call::on(&self.keys).arg(packed.packed());
        // Who has none pays nothing for it.
        if streams.iter().any(|one| one.trace.is_some()) {
            let mut traces = Packer::array(streams.len());
            for one in streams {
                match one.trace {
                    Some(trace) => traces.display(&trace),
                    None => traces.text(""),
                };
            }
            call = call.arg(traces.packed());
        }
        let value = self.line.run(&SUBMIT, call, self.timeout).await?;
        let reply = Reply::new(SUBMIT.name, &value);
        if reply.outcome()? != "ok" {
            return Err(reply.unexpected("an outcome of submit"));
        }
        submitted(&mut Unpacker::of(reply.at(1)?)?, streams.len())
    }

    /// [`submit`](Self::submit), and whether they have got as far as they have to within the time for that. This handle's
    /// connections must be for this alone, as whatever follows on them waits too.
    pub(crate) async fn submit_durably(
        &self,
        streams: &[Submission],
        durability: Durability,
    ) -> Result<(Vec<Result<Accepted, StoreError>>, Result<bool, StoreError>), StoreError> {
        if durability == Durability::Memory {
            return Ok((self.submit(streams).await?, Ok(true)));
        }
        self.line.open().await?;
        let before = self.line.incarnation();
        let submitted = self.submit(streams).await?;
        let confirmed = self.is_durable(durability).await;
        // Another connection has written nothing, and is told so at once.
        if self.line.incarnation() != before {
            return Ok((submitted, Ok(false)));
        }
        Ok((submitted, confirmed))
    }

    /// Waits until what this connection has written is where it is to be.
    async fn is_durable(&self, durability: Durability) -> Result<bool, StoreError> {
        let args = |numbers: &[u32], within| -> Vec<Value> {
            let numbers = numbers.iter().map(|number| u64::from(*number));
            let numbers = numbers.chain([millis(within).max(1)]);
            numbers.map(|number| number.to_string().into()).collect()
        };
        match durability {
            Durability::Memory => Ok(true),
            Durability::Replicas { count, within } => {
                let (args, timeout) = (args(&[count], within), within + self.timeout);
                let value = self.line.command("wait", "WAIT", args, timeout).await?;
                Ok(Reply::new("wait", &value).number()? >= u64::from(count))
            }
            Durability::Disk { replicas, within } => {
                let (args, timeout) = (args(&[1, replicas], within), within + self.timeout);
                let waited = self.line.command("waitaof", "WAITAOF", args, timeout).await;
                let value = waited.map_err(advise)?;
                let reply = Reply::new("waitaof", &value);
                Ok(reply.at(0)?.number()? >= 1 && reply.at(1)?.number()? >= u64::from(replicas))
            }
        }
    }

    /// Adds one entry to the input stream, as any Redis client could.
    async fn add(&self, one: &Submission) -> Result<Accepted, StoreError> {
        let mut added = self.add_there(one).await;
        if self.line.is_elsewhere(&added, self.timeout).await {
            added = self.add_there(one).await;
        }
        let id = Reply::new("submit", &added?).stream_id()?;
        Ok(Accepted::new(Reference::Queued(EntryId { lane: Lane::Input, id })))
    }

    async fn add_there(&self, one: &Submission) -> Result<Value, StoreError> {
        let connection = self.line.connection().await?;
        let client = connection.client.with_options(&options(self.timeout));
        let trace = one.trace.map(|trace| trace.to_string());
        let mut fields = vec![(INPUT_FIELD, one.input.as_str())];
        fields.extend(trace.as_deref().map(|trace| (TRACE_FIELD, trace)));
        let added = client.xadd::<Value, _, _, _, _>(self.keys.input.as_str(), false, None::<()>, "*", fields);
        connection
            .timed("submit", added)
            .await
            .inspect_err(|e| self.line.note(e))
    }

    /// Queues delayed entries that are due, past the first `skip` of them.
    pub(crate) async fn promote(
        &self,
        epoch: &Epoch,
        most: usize,
        skip: usize,
        dlq_max_len: u64,
    ) -> Result<Judged<Promoted>, StoreError> {
        let call = Call::on(&self.keys)
            .arg(epoch.arg())
            .number(most as u64)
            .number(skip as u64)
            .number(dlq_max_len);
        let value = self.line.run(&PROMOTE, call, self.timeout).await?;
        let reply = Reply::new(PROMOTE.name, &value);
        match reply.outcome()? {
            "ok" => {}
            "epoch" => return Ok(Judged::EpochChanged),
            "quiet" => return Ok(Judged::Quiet(super::lease::quiet(reply)?)),
            _ => return Err(reply.unexpected("an outcome of promote")),
        }
        let items = reply.list()?;
        let entries = items.len().saturating_sub(2);
        let outcomes = items.clone().skip(1).take(entries).map(|item| {
            let one = item.at(1)?;
            Ok(match one.outcome()? {
                "ok" => PromoteOutcome::Ok(one.at(1)?.parsed()?),
                "dead" => PromoteOutcome::DeadLettered {
                    id: item.at(0)?.text()?.to_owned(),
                    reason: one.at(2)?.parsed()?,
                    trimmed: one.at(3)?.number()?,
                },
                "vanished" => PromoteOutcome::Vanished,
                "later" => PromoteOutcome::Later,
                _ => PromoteOutcome::Failed(super::lease::failure(PROMOTE.name, one)?),
            })
        });
        Ok(Judged::Ok(Promoted {
            outcomes: outcomes.collect::<Result<_, StoreError>>()?,
            // Below zero: never.
            next: reply.at(entries + 1)?.number().ok().map(Duration::from_millis),
        }))
    }
}

/// Says what to do about a server that can't wait for disks.
fn advise(error: StoreError) -> StoreError {
    if error.says("unknown command") {
        error.advised("Durability::Disk needs Redis 7.2 or Valkey 7.2, or newer")
    } else if error.says("appendonly") {
        error.advised("Durability::Disk needs `appendonly yes` at the server")
    } else {
        error
    }
}

/// The end of the year 9999, which Lua still counts exactly.
const LATEST_MS: u64 = 253_402_300_799_999;

/// Never early.
pub(super) fn unix_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, millis_rounded_up).min(LATEST_MS)
}

/// Never early.
pub(super) fn millis_rounded_up(span: Duration) -> u64 {
    millis(span.saturating_add(Duration::from_nanos(999_999)))
}

/// A text per stream: its outcome and its reference.
fn submitted(packed: &mut Unpacker<'_>, most: usize) -> Result<Vec<Result<Accepted, StoreError>>, StoreError> {
    let answered = packed.list()?;
    if answered == 0 || answered > most {
        return Err(packed.unexpected("outcomes of the streams"));
    }
    let one = |text: &str| {
        let (outcome, rest) = text.split_once(' ').unwrap_or((text, ""));
        let noted = outcome == "noted";
        let reference = match outcome {
            "new" | "coalesced" | "noted" => rest.parse().map_err(|_| packed_reference(rest))?,
            _ => return Err(StoreError::of_entry(SUBMIT.name, rest)),
        };
        let submitted = if outcome == "new" {
            Submitted::New(reference)
        } else {
            Submitted::Coalesced(reference)
        };
        Ok(Accepted { submitted, noted })
    };
    (0..answered).map(|_| Ok(one(packed.text()?))).collect()
}

fn packed_reference(text: &str) -> StoreError {
    StoreError::reply(SUBMIT.name, format!("wanted a reference, got {text:?}"))
}
