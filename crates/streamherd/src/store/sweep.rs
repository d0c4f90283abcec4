use std::time::Duration;

use super::hello::millis;
use super::lease::{failure, quiet};
use super::reply::Reply;
use super::script::{Call, SWEEP, SWEEP_LIVE};
use super::{Judged, Store, StoreError};
use crate::dead_letter::DeadLetterReason;
use crate::entry::{MAX_ENTRY_BYTES, MAX_FIELDS};
use crate::id::{EntryId, Epoch, Lane};

/// A page of one lane, looked through for what other programs have stranded.
#[derive(Debug)]
pub(crate) enum Swept {
    /// Another worker has swept a short while ago.
    TooEarly,
    Page {
        /// Where to go on, if there is more.
        cursor: Option<String>,
        /// What it cost Redis.
        cost: Duration,
        stranded: Vec<(EntryId, Stranded)>,
    },
}

/// What became of a stranded entry.
#[derive(Debug)]
pub(crate) enum Stranded {
    Requeued(EntryId),
    DeadLettered {
        reason: DeadLetterReason,
        trimmed: u64,
    },
    /// Its owner still works on it.
    Alive,
    Failed(StoreError),
}

/// A page of the data streams that exist.
#[derive(Debug)]
pub(crate) struct SweptLive {
    /// Whether all have been looked at.
    pub(crate) complete: bool,
    pub(crate) requeued: u64,
    pub(crate) forgotten: u64,
    pub(crate) cost: Duration,
}

impl Store {
    /// Brings back what is neither new nor pending. The first page of a sweep is given how long ago the last one must have
    /// begun.
    pub(crate) async fn sweep(
        &self,
        epoch: &Epoch,
        lane: Lane,
        cursor: Option<&str>,
        dlq_max_len: u64,
        begins_after: Option<Duration>,
    ) -> Result<Judged<Swept>, StoreError> {
        let call = Call::on(&self.keys)
            .arg(epoch.arg())
            .arg(lane.as_str())
            .arg(cursor.unwrap_or("-"))
            .arg(self.keys.lock_prefix())
            .number(dlq_max_len)
            .number(MAX_FIELDS as u64)
            .number(MAX_ENTRY_BYTES as u64)
            .arg(begins_after.map(|span| millis(span).to_string()).unwrap_or_default());
        let value = self.line.run(&SWEEP, call, self.timeout).await?;
        let reply = Reply::new(SWEEP.name, &value);
        match reply.outcome()? {
            "epoch" => return Ok(Judged::EpochChanged),
            "quiet" => return Ok(Judged::Quiet(quiet(reply)?)),
            "early" => return Ok(Judged::Ok(Swept::TooEarly)),
            "ok" => {}
            _ => return Err(reply.unexpected("an outcome of sweep")),
        }
        let cursor = reply.at(1)?.text()?;
        let stranded = reply.list()?.skip(3).map(|item| {
            let one = item.at(1)?;
            let outcome = match one.outcome()? {
                "requeued" => Stranded::Requeued(one.at(1)?.parsed()?),
                "dead" => Stranded::DeadLettered {
                    reason: one.at(2)?.parsed()?,
                    trimmed: one.at(3)?.number()?,
                },
                "alive" => Stranded::Alive,
                _ => Stranded::Failed(failure(SWEEP.name, one)?),
            };
            Ok((item.at(0)?.parsed()?, outcome))
        });
        Ok(Judged::Ok(Swept::Page {
            cursor: (!cursor.is_empty()).then(|| cursor.to_owned()),
            cost: Duration::from_micros(reply.at(2)?.number()?),
            stranded: stranded.collect::<Result<_, StoreError>>()?,
        }))
    }

    /// Looks whether the next `most` data streams that count as existing do.
    pub(crate) async fn sweep_live(&self, epoch: &Epoch, most: usize) -> Result<Judged<SweptLive>, StoreError> {
        let call = Call::on(&self.keys).arg(epoch.arg()).number(most as u64);
        let value = self.line.run(&SWEEP_LIVE, call, self.timeout).await?;
        let reply = Reply::new(SWEEP_LIVE.name, &value);
        match reply.outcome()? {
            "epoch" => return Ok(Judged::EpochChanged),
            "quiet" => return Ok(Judged::Quiet(quiet(reply)?)),
            "ok" => {}
            _ => return Err(reply.unexpected("an outcome of sweep_live")),
        }
        Ok(Judged::Ok(SweptLive {
            complete: reply.at(1)?.number()? == 1,
            requeued: reply.at(2)?.number()?,
            forgotten: reply.at(3)?.number()?,
            cost: Duration::from_micros(reply.at(4)?.number()?),
        }))
    }
}
