use std::time::Duration;

use super::hello::millis;
use super::packed::Packer;
use super::reply::Reply;
use super::script::{ACQUIRE, Call, RENEW, RENEW_ONE, RESTORE};
use super::{Judged, Store, StoreError};
use crate::entry::{self, Fields, INPUT_FIELD};
use crate::id::{EntryId, Epoch, Token};

/// What became of one entry that was to be acquired.
#[derive(Debug)]
pub(crate) enum Acquired {
    Ok(Token),
    /// Not pending for this consumer any more: a peer was faster, or it is finished.
    Gone,
    /// Its owner lives and holds the lock.
    Held,
    /// This consumer is to take no new work.
    Paused,
    Failed(StoreError),
}

/// What became of one lease that was to be renewed.
#[derive(Debug)]
pub(crate) enum Renewed {
    Kept,
    /// The lock had expired, but nobody had taken the entry.
    Reacquired,
    Lost,
    Failed(StoreError),
}

/// A lease that is told to a server that may not know of it.
#[derive(Debug)]
pub(crate) struct Restorable<'a> {
    pub(crate) id: EntryId,
    pub(crate) token: Token,
    /// Not past its deadline, so that nobody else can have been given the entry.
    pub(crate) valid: bool,
    /// The settlement batch that it was sent in; zero if in none.
    pub(crate) batch: u64,
    pub(crate) fields: &'a Fields,
}

/// What became of one lease that was told.
#[derive(Debug)]
pub(crate) enum Restored {
    Kept,
    /// The entry was gone, and was written anew.
    Written(EntryId),
    /// The entry is gone, and its fields were not sent.
    Missing,
    /// Its settlement had been carried out.
    Settled,
    Lost,
    Failed(StoreError),
}

impl Store {
    /// Has the store know again what this worker holds; what is gone is written anew where the fields are sent along.
    pub(crate) async fn restore(
        &self,
        epoch: &Epoch,
        ttl: Duration,
        leases: &[Restorable<'_>],
        with_fields: bool,
    ) -> Result<Judged<Vec<Restored>>, StoreError> {
        let keys = &self.keys;
        let mut call = Call::on(keys)
            .arg(epoch.arg())
            .arg(self.consumer.as_str())
            .number(millis(ttl));
        for lease in leases {
            let input = entry::field(lease.fields, INPUT_FIELD).unwrap_or_default();
            call = call
                .key(keys.lock(&lease.id))
                .arg(lease.id.to_string())
                .arg(self.lock_value(lease.token))
                .arg(if lease.valid { "1" } else { "0" })
                .number(lease.batch)
                .arg(digest(input));
            call = call.fields(if with_fields { lease.fields } else { &[] });
        }
        let value = self.line.run(&RESTORE, call, self.timeout).await?;
        outcomes(Reply::new(RESTORE.name, &value), leases.len(), |one| {
            Ok(Some(match one.outcome()? {
                "kept" => Restored::Kept,
                "written" => Restored::Written(one.at(1)?.parsed()?),
                "missing" => Restored::Missing,
                "settled" => Restored::Settled,
                "lost" => Restored::Lost,
                "nogroup" => return Ok(None),
                _ => Restored::Failed(failure(RESTORE.name, one)?),
            }))
        })
    }

    /// Extends one lock, wherever it is while its slot migrates. [`None`] where it is at neither end, which says nothing.
    pub(crate) async fn renew_one(
        &self,
        ttl: Duration,
        id: EntryId,
        token: Token,
    ) -> Result<Option<Renewed>, StoreError> {
        let call = Call::on_one(self.keys.lock(&id))
            .arg(self.lock_value(token))
            .number(millis(ttl));
        let value = self.line.run_following(&RENEW_ONE, &call, self.timeout).await?;
        Ok(match Reply::new(RENEW_ONE.name, &value).text()? {
            "kept" => Some(Renewed::Kept),
            "lost" => Some(Renewed::Lost),
            _ => None,
        })
    }

    /// Takes the lock of each entry that is still pending for this consumer, and draws its fencing token. A call whose
    /// reply was lost may be repeated: it finds its own locks.
    pub(crate) async fn acquire(
        &self,
        epoch: &Epoch,
        ttl: Duration,
        ids: &[EntryId],
    ) -> Result<Judged<Vec<Acquired>>, StoreError> {
        let keys = &self.keys;
        let mut call = Call::on(keys)
            .arg(epoch.arg())
            .arg(self.consumer.as_str())
            .arg(self.consumer.name())
            .number(millis(ttl));
        for id in ids {
            call = call.key(keys.lock(id)).arg(id.to_string());
        }
        let value = self.line.run(&ACQUIRE, call, self.timeout).await?;
        let reply = Reply::new(ACQUIRE.name, &value);
        outcomes(reply, ids.len(), |one| {
            Ok(match one.outcome()? {
                "ok" => Some(Acquired::Ok(Token(one.at(1)?.number()?))),
                "gone" => Some(Acquired::Gone),
                "held" => Some(Acquired::Held),
                "paused" => Some(Acquired::Paused),
                "nogroup" => None,
                _ => Some(Acquired::Failed(failure(ACQUIRE.name, one)?)),
            })
        })
    }

    /// Extends the lock of each lease, at most about 400 in one call. Tells, in order, what became of those that were not
    /// simply kept.
    pub(crate) async fn renew(
        &self,
        epoch: &Epoch,
        ttl: Duration,
        leases: &[(EntryId, Token)],
    ) -> Result<Judged<Vec<(usize, Renewed)>>, StoreError> {
        let (keys, consumer) = (&self.keys, &self.consumer);
        let prefix = keys.lock_prefix();
        let mut locks = Packer::array(leases.len());
        let mut values = Packer::array(leases.len());
        for (id, token) in leases {
            locks.display(&format_args!("{prefix}{id}"));
            values.display(&format_args!("{consumer}:{token}"));
        }
        let call = Call::on(keys)
            .arg(epoch.arg())
            .arg(consumer.as_str())
            .number(millis(ttl))
            .arg(locks.packed())
            .arg(values.packed());
        let value = self.line.run(&RENEW, call, self.timeout).await?;
        renewals(Reply::new(RENEW.name, &value), leases.len())
    }

    /// What a lock holds while a lease lives: whose it is and which of its acquisitions.
    pub(super) fn lock_value(&self, token: Token) -> String {
        format!("{}:{token}", self.consumer)
    }
}

/// Reads `['ok', how many, position, outcome, …]` or `['epoch']`. The positions count from 1 and grow.
fn renewals(reply: Reply<'_>, expected: usize) -> Result<Judged<Vec<(usize, Renewed)>>, StoreError> {
    match reply.outcome()? {
        "ok" => {}
        "epoch" => return Ok(Judged::EpochChanged),
        _ => return Err(reply.unexpected("an outcome")),
    }
    let mut items = reply.list()?.skip(1);
    let count = items.next().map(Reply::number).transpose()?;
    if count != Some(expected as u64) {
        return Err(reply.unexpected("an outcome per lease"));
    }
    let mut others = Vec::with_capacity(items.len() / 2);
    let mut last = 0;
    while let Some(position) = items.next() {
        let position = usize::try_from(position.number()?).unwrap_or(usize::MAX);
        let Some(one) = items.next().filter(|_| last < position && position <= expected) else {
            return Err(reply.unexpected("positions and outcomes"));
        };
        last = position;
        let outcome = match one.text().or_else(|_| one.outcome())? {
            "kept" => Renewed::Kept,
            "reacquired" => Renewed::Reacquired,
            "lost" | "gone" => Renewed::Lost,
            "nogroup" => return Ok(Judged::EpochChanged),
            _ => Renewed::Failed(failure(RENEW.name, one)?),
        };
        others.push((position - 1, outcome));
    }
    Ok(Judged::Ok(others))
}

/// Reads `['ok', outcome…]` or `['epoch']`; an entry that answers [`None`] found no group, which means the same.
pub(super) fn outcomes<T>(
    reply: Reply<'_>,
    expected: usize,
    mut read: impl FnMut(Reply<'_>) -> Result<Option<T>, StoreError>,
) -> Result<Judged<Vec<T>>, StoreError> {
    match reply.outcome()? {
        "ok" => {}
        "epoch" => return Ok(Judged::EpochChanged),
        "quiet" => return Ok(Judged::Quiet(quiet(reply)?)),
        _ => return Err(reply.unexpected("an outcome")),
    }
    let items = reply.list()?.skip(1);
    if items.len() != expected {
        return Err(reply.unexpected("an outcome per entry"));
    }
    let mut all = Vec::with_capacity(expected);
    for item in items {
        match read(item)? {
            Some(outcome) => all.push(outcome),
            None => return Ok(Judged::EpochChanged),
        }
    }
    Ok(Judged::Ok(all))
}

/// `['quiet', ms]`.
pub(super) fn quiet(reply: Reply<'_>) -> Result<Duration, StoreError> {
    Ok(Duration::from_millis(reply.at(1)?.number()?))
}

/// As Redis's own `sha1hex`, of what is JSON and therefore text.
pub(super) fn digest(input: &[u8]) -> String {
    std::str::from_utf8(input)
        .map(fred::util::sha1_hash)
        .unwrap_or_default()
}

/// `['error', text]`.
pub(super) fn failure(operation: &'static str, outcome: Reply<'_>) -> Result<StoreError, StoreError> {
    Ok(StoreError::of_entry(operation, outcome.at(1)?.text()?))
}

#[cfg(test)]
mod tests {
    use fred::types::Value;

    use super::*;

    fn read(reply: Vec<Value>, expected: usize) -> Result<Judged<Vec<(usize, Renewed)>>, StoreError> {
        renewals(Reply::new("renew", &Value::Array(reply)), expected)
    }

    #[test]
    fn renewals_are_kept_where_nothing_else_is_said() {
        let reply = vec!["ok".into(), 3.into(), 2.into(), "gone".into()];
        let Ok(Judged::Ok(others)) = read(reply, 3) else {
            panic!("it is readable")
        };
        assert!(matches!(others[..], [(1, Renewed::Lost)]));
    }

    #[test]
    fn an_answer_about_other_leases_extends_none() {
        let lost = || Value::from("lost");
        for reply in [
            vec!["ok".into()],
            vec!["ok".into(), 2.into()],
            vec!["ok".into(), 3.into(), 4.into(), lost()],
            vec!["ok".into(), 3.into(), 0.into(), lost()],
            vec!["ok".into(), 3.into(), 2.into()],
            vec!["ok".into(), 3.into(), 2.into(), lost(), 2.into(), lost()],
            vec!["ok".into(), 3.into(), 2.into(), lost(), 1.into(), lost()],
        ] {
            assert!(read(reply.clone(), 3).is_err(), "{reply:?}");
        }
    }
}
