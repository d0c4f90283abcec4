use std::time::Duration;

use super::dead_letters::whole;
use super::hello::millis;
use super::lease::{failure, outcomes};
use super::reply::Reply;
use super::script::{Call, MIGRATE};
use super::{Store, StoreError};
use crate::id::{EntryId, Reference, StreamId};
use crate::keys::Keys;

/// Something to be moved to another layout.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Movable {
    Waiting(Reference),
    Letter(StreamId),
}

/// What became of it, or in a dry run would.
#[derive(Debug)]
pub(crate) enum Migrated {
    Queued,
    Delayed,
    /// Its owner was dead.
    Orphan,
    Letter,
    /// Its owner may live.
    Held,
    /// Nobody would ever be given it.
    Finished,
    Gone,
    /// The batch was large enough without it.
    Later,
    Failed(StoreError),
}

impl Store {
    /// Moves what waits here to a partition of the native layout on the same server; at most 100 in one call. May be repeated:
    /// what was moved is gone then.
    pub(crate) async fn migrate(
        &self,
        to: &Keys,
        dry_run: bool,
        min_idle: Duration,
        what: &[Movable],
    ) -> Result<Vec<Migrated>, StoreError> {
        let mut call = to.all().into_iter().fold(Call::on(&self.keys), Call::key);
        call = call.arg(if dry_run { "1" } else { "0" }).number(millis(min_idle));
        for one in what {
            call = call.arg(match one {
                Movable::Waiting(Reference::Queued(EntryId { id, .. })) => id.to_string(),
                Movable::Waiting(delayed @ Reference::Delayed(_)) => delayed.to_string(),
                Movable::Letter(id) => format!("letter:{id}"),
            });
        }
        let value = self.line.run(&MIGRATE, call, self.timeout).await?;
        let reply = Reply::new(MIGRATE.name, &value);
        let judged = outcomes(reply, what.len(), |one| {
            Ok(Some(match one.outcome()? {
                "queued" => Migrated::Queued,
                "delayed" => Migrated::Delayed,
                "orphan" => Migrated::Orphan,
                "letter" => Migrated::Letter,
                "held" => Migrated::Held,
                "finished" => Migrated::Finished,
                "gone" => Migrated::Gone,
                "later" => Migrated::Later,
                _ => Migrated::Failed(failure(MIGRATE.name, one)?),
            }))
        });
        whole(judged?, reply)
    }
}
