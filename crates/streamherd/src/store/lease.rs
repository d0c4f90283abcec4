use std::time::Duration;

use super::hello::millis;
use super::reply::Reply;
use super::script::{ACQUIRE, Call, RENEW};
use super::{Judged, Store, StoreError};
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

impl Store {
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

    /// Extends the lock of each lease, at most about 400 in one call.
    pub(crate) async fn renew(
        &self,
        epoch: &Epoch,
        ttl: Duration,
        leases: &[(EntryId, Token)],
    ) -> Result<Judged<Vec<Renewed>>, StoreError> {
        let keys = &self.keys;
        let mut call = Call::on(keys)
            .arg(epoch.arg())
            .arg(self.consumer.as_str())
            .number(millis(ttl));
        for (id, token) in leases {
            call = call.key(keys.lock(id)).arg(id.to_string()).arg(self.lock_value(*token));
        }
        let value = self.line.run(&RENEW, call, self.timeout).await?;
        outcomes(Reply::new(RENEW.name, &value), leases.len(), |one| {
            // Plain words on the hot path; only what failed comes as a list.
            Ok(match one.text().or_else(|_| one.outcome())? {
                "kept" => Some(Renewed::Kept),
                "reacquired" => Some(Renewed::Reacquired),
                "lost" | "gone" => Some(Renewed::Lost),
                "nogroup" => None,
                _ => Some(Renewed::Failed(failure(RENEW.name, one)?)),
            })
        })
    }

    /// What a lock holds while a lease lives: whose it is and which of its acquisitions.
    pub(super) fn lock_value(&self, token: Token) -> String {
        format!("{}:{token}", self.consumer)
    }
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

/// `['error', text]`.
pub(super) fn failure(operation: &'static str, outcome: Reply<'_>) -> Result<StoreError, StoreError> {
    Ok(StoreError::of_entry(operation, outcome.at(1)?.text()?))
}
