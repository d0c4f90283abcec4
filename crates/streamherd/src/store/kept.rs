use std::time::Duration;

use super::lease::{digest, failure};
use super::reply::Reply;
use super::script::{Call, KEPT, RESUBMIT};
use super::submit::{millis_rounded_up, unix_millis};
use super::{Store, StoreError, When};
use crate::id::{Reference, StreamId};
use crate::trace::TraceContext;

/// Which store it was that answered: what may be lost is lost between two that differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    /// [`None`] where no worker has come since it was empty.
    pub(crate) epoch: Option<String>,
    /// The server's process; [`None`] where that is not told.
    pub(crate) run: Option<String>,
}

/// A stream that a producer keeps, as the store is asked for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) reference: Reference,
    /// [`None`] for a run of its own.
    pub(crate) name: Option<&'a str>,
    pub(crate) digest: &'a str,
}

/// What a look at the store has told.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) identity: Identity,
    /// For how long nothing is handed out.
    pub(crate) quiet: Duration,
    /// What it took of Redis.
    pub(crate) cost: Duration,
    /// In the order in which they were asked for.
    pub(crate) stands: Vec<Stands>,
}

/// How a stream stands that a producer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// Queued or delayed; a run of its own also while it is held.
    Queued,
    Held,
    /// It is wanted once more after the run that there is.
    Noted,
    Gone,
    /// The call was large enough without it.
    Later,
    Unknown,
}

/// A stream that may have to be submitted again.
#[derive(Debug)]
pub(crate) struct Lost<'a> {
    pub(crate) asked: Asked<'a>,
    /// The id it was submitted under; [`None`] where its submit was coalesced with another.
    pub(crate) origin: Option<StreamId>,
    pub(crate) noted: bool,
    /// The digest of what the same producer submitted under that name before.
    pub(crate) older: Option<&'a str>,
    pub(crate) when: When,
    pub(crate) input: &'a str,
    pub(crate) trace: Option<TraceContext>,
}

/// What became of a call.
#[derive(Debug)]
pub(crate) enum Resubmission {
    Ok(Vec<Resubmitted>),
    /// It is another store than the one that was looked at.
    Changed,
    Quiet,
}

/// What became of one stream.
#[derive(Debug)]
pub(crate) enum Resubmitted {
    /// It was not lost.
    There,
    /// Somebody has written it anew, as this.
    Taken(Reference),
    New(Reference),
    /// Another submit has queued the stream meanwhile.
    Coalesced {
        reference: Reference,
        noted: bool,
    },
    /// A newer submit of the stream stands in its place.
    Superseded,
    /// Its worker had carried out its end from memory.
    Finished,
    Later,
    Failed(StoreError),
}

impl Store {
    /// Looks at what a producer keeps, at most about 500 streams. `first`: finds out too whether what is lost may be
    /// submitted again.
    pub(crate) async fn look_for(&self, first: bool, kept: &[Asked<'_>]) -> Result<Look, StoreError> {
        let mut call = Call::on(&self.keys).arg(if first { "1" } else { "" });
        for one in kept {
            call = one.told(call);
        }
        let value = self.line.run(&KEPT, call, self.timeout).await?;
        let reply = Reply::new(KEPT.name, &value);
        let text = |index| -> Result<Option<String>, StoreError> {
            let text = reply.at(index)?.text()?;
            Ok((!text.is_empty()).then(|| text.to_owned()))
        };
        let stands = reply.at(5)?.list()?.map(|one| match one.text() {
            Ok("queued") => Stands::Queued,
            Ok("held") => Stands::Held,
            Ok("noted") => Stands::Noted,
            Ok("gone") => Stands::Gone,
            Ok("later") => Stands::Later,
            _ => Stands::Unknown,
        });
        Ok(Look {
            identity: Identity {
                epoch: text(1)?,
                run: text(2)?,
            },
            quiet: Duration::from_millis(reply.at(3)?.number()?),
            cost: Duration::from_micros(reply.at(4)?.number()?),
            stands: stands.collect(),
        })
    }

    /// Queues once more what is lost. May be repeated: what is done is found done.
    pub(crate) async fn resubmit(&self, known: &Identity, lost: &[Lost<'_>]) -> Result<Resubmission, StoreError> {
        let mut call = Call::on(&self.keys)
            .arg(known.epoch.as_deref().unwrap_or_default())
            .arg(known.run.as_deref().unwrap_or_default());
        for one in lost {
            let (when, ms) = match one.when {
                When::Now => ("at", 0),
                When::After(delay) => ("after", millis_rounded_up(delay)),
                When::At(time) => ("at", unix_millis(time)),
            };
            call = call
                .arg(one.asked.reference.to_string())
                .arg(one.origin.map(|id| id.to_string()).unwrap_or_default())
                .arg(if one.noted { "1" } else { "" })
                .arg(one.asked.name.unwrap_or_default())
                .arg(one.asked.digest)
                .arg(one.older.unwrap_or_default())
                .arg(when)
                .number(ms)
                .arg(one.input)
                .arg(one.trace.map(|trace| trace.to_string()).unwrap_or_default());
        }
        let value = self.line.run(&RESUBMIT, call, self.timeout).await?;
        let reply = Reply::new(RESUBMIT.name, &value);
        match reply.outcome()? {
            "ok" => {}
            "changed" => return Ok(Resubmission::Changed),
            "quiet" => return Ok(Resubmission::Quiet),
            _ => return Err(reply.unexpected("an outcome of resubmit")),
        }
        let outcomes = reply.list()?.skip(1).map(|one| {
            Ok(match one.outcome()? {
                "there" => Resubmitted::There,
                "taken" => Resubmitted::Taken(one.at(1)?.parsed()?),
                "new" => Resubmitted::New(one.at(1)?.parsed()?),
                "coalesced" => Resubmitted::Coalesced {
                    reference: one.at(1)?.parsed()?,
                    noted: one.at(2).is_ok(),
                },
                "superseded" => Resubmitted::Superseded,
                "finished" => Resubmitted::Finished,
                "later" => Resubmitted::Later,
                _ => Resubmitted::Failed(failure(RESUBMIT.name, one)?),
            })
        });
        Ok(Resubmission::Ok(outcomes.collect::<Result<_, StoreError>>()?))
    }
}

impl Asked<'_> {
    fn told(&self, call: Call) -> Call {
        call.arg(self.reference.to_string())
            .arg(self.name.unwrap_or_default())
            .arg(self.digest)
    }
}

/// The digest by which the store knows an input again.
pub(crate) fn digest_of(input: &str) -> String {
    digest(input.as_bytes())
}
