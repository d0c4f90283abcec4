use std::time::Duration;

use super::packed::Packer;
use super::reply::Reply;
use super::script::{Call, DEREGISTER, SETTLE};
use super::{Judged, Store, StoreError};
use crate::dead_letter::DeadLetterReason;
use crate::entry::{self, Fields, MAX_ENTRY_BYTES, MAX_FIELDS};
use crate::id::{EntryId, Epoch, Reference, Token};

/// How a lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Done,
    /// Back to the front of the queue as a failed attempt, when the delay is over; past the limit to the dead letters.
    Retry {
        delay: Duration,
        error: String,
    },
    DeadLetter {
        reason: DeadLetterReason,
        error: String,
    },
    /// Back to the front of the queue, counting nothing.
    Release,
}

impl Operation {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry { .. } => "retry",
            Self::DeadLetter { .. } => "dead_letter",
            Self::Release => "release",
        }
    }
}

/// One settlement of a batch. Entries that were read but never locked have no token.
#[derive(Debug, Clone)]
pub(crate) struct SettleStep {
    pub(crate) id: EntryId,
    pub(crate) token: Option<Token>,
    /// The data stream's name, if it is known and the entry takes part in coalescing.
    pub(crate) coalesced: Option<String>,
    pub(crate) operation: Operation,
    /// All fields of the entry, where the store may have lost it since it was leased: then this decides.
    pub(crate) memory: Option<Fields>,
}

impl SettleStep {
    /// Its token, if it is the plain end of a lease, which is most of them and costs least.
    fn plain_done(&self) -> Option<Token> {
        let plain = self.operation == Operation::Done && self.memory.is_none();
        self.token.filter(|_| plain)
    }

    pub(crate) fn is_plainly_done(&self) -> bool {
        self.plain_done().is_some()
    }

    /// Bytes that are sent along.
    pub(crate) fn remembered(&self) -> usize {
        self.memory.as_ref().map_or(0, entry::size)
    }
}

/// What became of one settlement.
#[derive(Debug)]
pub(crate) enum SettleOutcome {
    /// With where the entry waits now, unless it is finished.
    Ok(Option<Reference>),
    DeadLettered {
        reason: DeadLetterReason,
        trimmed: u64,
    },
    /// The entry was not this worker's; nothing changed.
    Disowned,
    /// The body was gone; the rest was tidied away.
    Vanished,
    /// The batch was large enough without it.
    Later,
    /// There is no group, or the server is not the one that is known; say hello and try again.
    Again,
    Failed(StoreError),
}

/// The limits that a settlement may run into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SettleLimits {
    pub(crate) max_failures: u32,
    pub(crate) dlq_max_len: u64,
}

/// Ten years; sums of it and a time stay exact in Lua.
pub(super) const LONGEST_DELAY_MS: u64 = 10 * 365 * 24 * 3600 * 1000;

/// Longer error texts are cut: a dead letter is a record, not a log.
const MAX_ERROR_BYTES: usize = 4096;

impl Store {
    /// Carries out a batch under its number. Repeating it with the same number gives the stored outcomes.
    pub(crate) async fn settle(
        &self,
        epoch: &Epoch,
        number: u64,
        limits: SettleLimits,
        steps: &[SettleStep],
    ) -> Result<Judged<Vec<SettleOutcome>>, StoreError> {
        let mut call = Call::on(&self.keys)
            .arg(epoch.arg())
            .arg(self.consumer.as_str())
            .number(number)
            .number(limits.max_failures.into())
            .number(limits.dlq_max_len)
            .number(MAX_FIELDS as u64)
            .number(MAX_ENTRY_BYTES as u64);
        let mut done = Packer::array(steps.iter().filter_map(SettleStep::plain_done).count() * 3);
        for (step, token) in steps.iter().filter_map(|step| Some((step, step.plain_done()?))) {
            done.display(&step.id)
                .display(&token)
                .text(step.coalesced.as_deref().unwrap_or_default());
        }
        call = call.arg(done.packed());
        for step in steps.iter().filter(|step| step.plain_done().is_none()) {
            let (reason, error, delay) = match &step.operation {
                // A wait below a millisecond is one, not none.
                Operation::Retry { error, delay } => ("", error.as_str(), delay.as_micros().div_ceil(1_000)),
                Operation::DeadLetter { reason, error } => (reason.as_str(), error.as_str(), 0),
                Operation::Done | Operation::Release => ("", "", 0),
            };
            call = call
                .arg(step.operation.name())
                .arg(step.id.to_string())
                .arg(step.token.map(|t| self.lock_value(t)).unwrap_or_default())
                .arg(step.coalesced.as_deref().unwrap_or_default())
                .arg(reason)
                .arg(cut(error, MAX_ERROR_BYTES))
                .number(u64::try_from(delay).unwrap_or(u64::MAX).min(LONGEST_DELAY_MS))
                .fields(step.memory.as_deref().unwrap_or_default());
        }
        let value = self.line.run(&SETTLE, call, self.timeout).await?;
        settled(Reply::new(SETTLE.name, &value), steps)
    }

    /// Removes this consumer from the groups if nothing is pending under its name.
    pub(crate) async fn deregister(&self) -> Result<u64, StoreError> {
        let call = Call::on(&self.keys).arg(self.consumer.as_str());
        let value = self.line.run(&DEREGISTER, call, self.timeout).await?;
        Reply::new(DEREGISTER.name, &value).at(1)?.number()
    }
}

/// What became of each step. Of those that are plainly done only the exceptions are told, by their numbers.
fn settled(reply: Reply<'_>, steps: &[SettleStep]) -> Result<Judged<Vec<SettleOutcome>>, StoreError> {
    if reply.outcome()? == "epoch" {
        return Ok(Judged::EpochChanged);
    }
    let exceptions: Vec<Reply<'_>> = reply.at(1)?.list()?.collect();
    let plainly = steps.iter().filter_map(SettleStep::plain_done);
    let mut plain: Vec<_> = plainly.map(|_| SettleOutcome::Ok(None)).collect();
    for exception in exceptions.chunks_exact(2) {
        let [number, outcome] = exception else { continue };
        let number = usize::try_from(number.number()?).unwrap_or(usize::MAX);
        let at = number.checked_sub(1).and_then(|index| plain.get_mut(index));
        *at.ok_or_else(|| reply.unexpected("the number of a step"))? = settled_as(*outcome)?;
    }
    let others = reply.list()?.skip(2);
    if others.len() + plain.len() != steps.len() {
        return Err(reply.unexpected("an outcome per step"));
    }
    let (mut plain, mut others) = (plain.into_iter(), others);
    let mut all = Vec::with_capacity(steps.len());
    for step in steps {
        let outcome = match step.plain_done() {
            Some(_) => plain.next(),
            None => others.next().map(settled_as).transpose()?,
        };
        all.extend(outcome);
    }
    Ok(Judged::Ok(all))
}

fn settled_as(one: Reply<'_>) -> Result<SettleOutcome, StoreError> {
    Ok(match one.outcome()? {
        "ok" => SettleOutcome::Ok(one.at(1).ok().map(Reply::parsed).transpose()?),
        "dead" => SettleOutcome::DeadLettered {
            reason: one.at(2)?.parsed()?,
            trimmed: one.at(3)?.number()?,
        },
        "lost" | "gone" => SettleOutcome::Disowned,
        "vanished" => SettleOutcome::Vanished,
        "later" => SettleOutcome::Later,
        "nogroup" | "again" => SettleOutcome::Again,
        _ => SettleOutcome::Failed(super::lease::failure(SETTLE.name, one)?),
    })
}

fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
