use std::time::Duration;

use super::hello::millis;
use super::lease::{failure, outcomes};
use super::reply::Reply;
use super::script::{CENSUS, Call, LETTERS, PURGE, REDRIVE};
use super::{Judged, Store, StoreError};
use crate::entry::{Fields, MAX_ENTRY_BYTES, MAX_FIELDS};
use crate::id::{Reference, StreamId};

/// One call lists little more than this: about 2 ms of Redis. A single letter can have more.
const PAGE_BYTES: u64 = 256 * 1024;
const PAGE_LETTERS: u64 = 200;

/// Some of the dead letters, the oldest first.
#[derive(Debug)]
pub(crate) struct LetterPage {
    /// Unix time by the clock of Redis.
    pub(crate) now_ms: u64,
    /// The letter that was the newest when the walk began; [`None`] if there was none.
    pub(crate) until: Option<StreamId>,
    /// Where to go on, if there may be more.
    pub(crate) cursor: Option<String>,
    pub(crate) letters: Vec<(StreamId, Fields)>,
}

/// What became of a dead letter that was to be queued again.
#[derive(Debug)]
pub(crate) enum Redriven {
    /// Queued as this, which is not known before it is done.
    New(Option<Reference>),
    /// Its data stream is queued, delayed or held as this.
    Coalesced(Reference),
    Superseded,
    TooLarge,
    Gone,
    /// The batch was large enough without it.
    Later,
    Failed(StoreError),
}

/// How many streams wait where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) queued: u64,
    pub(crate) requeued: u64,
    pub(crate) pending: u64,
    pub(crate) delayed: u64,
    pub(crate) dead_letters: u64,
    /// The age of the oldest dead letter; zero without any.
    pub(crate) oldest: Duration,
    /// For how long the first entry of each lane that nobody was given has been waiting: the queue, and the front. Zero
    /// where none waits.
    pub(crate) waiting: [Duration; 2],
}

impl Store {
    /// A page of dead letters from a cursor on, or from the oldest; up to `until`, or to the newest one there is now.
    pub(crate) async fn letters(
        &self,
        cursor: Option<&str>,
        until: Option<StreamId>,
    ) -> Result<LetterPage, StoreError> {
        let until = until.map(|id| id.to_string()).unwrap_or_default();
        self.letters_between(cursor.unwrap_or("-"), &until).await
    }

    /// A page that holds at most this letter.
    pub(crate) async fn letter(&self, id: StreamId) -> Result<LetterPage, StoreError> {
        let id = id.to_string();
        self.letters_between(&id, &id).await
    }

    async fn letters_between(&self, from: &str, to: &str) -> Result<LetterPage, StoreError> {
        let call = Call::on(&self.keys)
            .arg(from)
            .arg(to)
            .number(PAGE_LETTERS)
            .number(PAGE_BYTES);
        let value = self.line.run(&LETTERS, call, self.timeout).await?;
        let reply = Reply::new(LETTERS.name, &value);
        let given =
            |reply: Reply<'_>| Ok::<_, StoreError>(Some(reply.text()?.to_owned()).filter(|text| !text.is_empty()));
        Ok(LetterPage {
            now_ms: reply.at(1)?.number()?,
            until: match given(reply.at(2)?)? {
                Some(_) => Some(reply.at(2)?.stream_id()?),
                None => None,
            },
            cursor: given(reply.at(3)?)?,
            letters: reply.at(4)?.list()?.map(Reply::entry).collect::<Result<_, _>>()?,
        })
    }

    /// Queues dead letters again, each once among any number of rivals; at most 100 in one call. May be repeated: what was
    /// done is gone then.
    pub(crate) async fn redrive(&self, dry_run: bool, ids: &[StreamId]) -> Result<Vec<Redriven>, StoreError> {
        let mut call = Call::on(&self.keys)
            .arg(if dry_run { "1" } else { "0" })
            .number(MAX_FIELDS as u64)
            .number(MAX_ENTRY_BYTES as u64);
        for id in ids {
            call = call.arg(id.to_string());
        }
        let value = self.line.run(&REDRIVE, call, self.timeout).await?;
        let reply = Reply::new(REDRIVE.name, &value);
        let judged = outcomes(reply, ids.len(), |one| {
            Ok(Some(match one.outcome()? {
                "new" => Redriven::New(one.at(1).ok().map(Reply::parsed).transpose()?),
                "coalesced" => Redriven::Coalesced(one.at(1)?.parsed()?),
                "superseded" => Redriven::Superseded,
                "too_large" => Redriven::TooLarge,
                "gone" => Redriven::Gone,
                "later" => Redriven::Later,
                _ => Redriven::Failed(failure(REDRIVE.name, one)?),
            }))
        });
        whole(judged?, reply)
    }

    /// Deletes dead letters; false for one that is gone already. May be repeated.
    pub(crate) async fn purge(&self, ids: &[StreamId]) -> Result<Vec<Result<bool, StoreError>>, StoreError> {
        let mut call = Call::on(&self.keys);
        for id in ids {
            call = call.arg(id.to_string());
        }
        let value = self.line.run(&PURGE, call, self.timeout).await?;
        let reply = Reply::new(PURGE.name, &value);
        let judged = outcomes(reply, ids.len(), |one| {
            Ok(Some(match one.outcome()? {
                "purged" => Ok(true),
                "gone" => Ok(false),
                _ => Err(failure(PURGE.name, one)?),
            }))
        });
        whole(judged?, reply)
    }

    /// How many streams wait where: counted now, or by another worker within this time.
    pub(crate) async fn census(&self, good_for: Duration) -> Result<Census, StoreError> {
        let call = Call::on(&self.keys).number(millis(good_for));
        let value = self.line.run(&CENSUS, call, self.timeout).await?;
        let reply = Reply::new(CENSUS.name, &value);
        let number = |index| reply.at(index)?.number();
        let now: u64 = number(1)?;
        // Zero stands for none.
        let age =
            |index| number(index).map(|at| Duration::from_millis(if at == 0 { 0 } else { now.saturating_sub(at) }));
        Ok(Census {
            queued: number(3)?,
            requeued: number(4)?,
            pending: number(5)?,
            delayed: number(6)?,
            dead_letters: number(7)?,
            oldest: age(8)?,
            waiting: [age(9)?, age(10)?],
        })
    }
}

/// These scripts know no epoch.
/// Of a script that asks for no epoch.
pub(super) fn whole<T>(judged: Judged<T>, reply: Reply<'_>) -> Result<T, StoreError> {
    match judged {
        Judged::Ok(all) => Ok(all),
        Judged::EpochChanged | Judged::Quiet(_) => Err(reply.unexpected("outcomes")),
    }
}
