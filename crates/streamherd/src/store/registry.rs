use std::time::Duration;

use super::hello::millis;
use super::inspect::ConsumerInfo;
use super::lease::{failure, outcomes};
use super::reply::Reply;
use super::script::{CONSUMERS, Call, PAUSE, PROGRESS, REAP, REGISTER};
use super::{Judged, Store, StoreError};
use crate::id::{EntryId, Epoch};

/// Who takes part, as Redis has it.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) now_ms: u64,
    /// Consumer, when it was last seen (Unix ms by the clock of Redis) and what it said of itself.
    pub(crate) rows: Vec<(String, u64, String)>,
    /// Consumers that have left a receipt, whether they have a row or not.
    pub(crate) receipts: Vec<String>,
    /// What the group knows, per lane.
    pub(crate) groups: [Vec<ConsumerInfo>; 2],
}

/// What became of a consumer that seemed to be dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaped {
    Ok,
    Alive,
    /// Something is pending under its name, which the scan has to bring back first.
    Pending,
    Failed,
}

impl Store {
    /// Writes this consumer's row, and says whether it is paused.
    pub(crate) async fn register(&self, row: &str, lock_ttl: Duration) -> Result<bool, StoreError> {
        let call = Call::on(&self.keys)
            .arg(self.consumer.as_str())
            .arg(self.consumer.name())
            .arg(row)
            .number(millis(lock_ttl));
        let value = self.line.run(&REGISTER, call, self.timeout).await?;
        Ok(Reply::new(REGISTER.name, &value).at(1)?.number()? == 1)
    }

    /// Writes how far this consumer has come with some of its entries, and forgets some. Goes by itself after `keep`, unless
    /// it is called again.
    pub(crate) async fn tell_progress(
        &self,
        keep: Duration,
        forget: &[EntryId],
        said: &[(EntryId, String)],
    ) -> Result<(), StoreError> {
        let mut call = Call::on(&self.keys)
            .arg(self.consumer.as_str())
            .number(millis(keep))
            .number(forget.len() as u64);
        for id in forget {
            call = call.arg(id.to_string());
        }
        for (id, said) in said {
            call = call.arg(id.to_string()).arg(said.as_str());
        }
        self.line.run(&PROGRESS, call, self.timeout).await.map(drop)
    }

    /// Has the service, or consumers of that name or id, take no new work, or take it again. False if that was so already.
    pub(crate) async fn pause(&self, pause: bool, consumer: Option<&str>) -> Result<bool, StoreError> {
        let call = Call::on(&self.keys)
            .arg(if pause { "1" } else { "0" })
            .arg(consumer.map_or_else(|| "paused".to_owned(), |consumer| format!("paused:{consumer}")));
        let value = self.line.run(&PAUSE, call, self.timeout).await?;
        Ok(Reply::new(PAUSE.name, &value).at(1)?.number()? == 1)
    }

    pub(crate) async fn registry(&self) -> Result<Registry, StoreError> {
        let value = self.line.run(&CONSUMERS, Call::on(&self.keys), self.timeout).await?;
        let reply = Reply::new(CONSUMERS.name, &value);
        Ok(Registry {
            now_ms: reply.at(1)?.number()?,
            rows: super::inspect::rows(reply.at(2)?)?,
            receipts: reply
                .at(3)?
                .list()?
                .map(super::inspect::lossy)
                .collect::<Result<_, StoreError>>()?,
            groups: [
                super::inspect::consumers(reply.at(4)?)?,
                super::inspect::consumers(reply.at(5)?)?,
            ],
        })
    }

    /// Removes consumers that show no sign of life and have nothing pending. May be repeated.
    pub(crate) async fn reap(
        &self,
        epoch: &Epoch,
        dead_after: Duration,
        idle_after: Duration,
        consumers: &[String],
    ) -> Result<Judged<Vec<Reaped>>, StoreError> {
        let mut call = Call::on(&self.keys)
            .arg(epoch.arg())
            .number(millis(dead_after))
            .number(millis(idle_after));
        for consumer in consumers {
            call = call.arg(consumer.as_str());
        }
        let value = self.line.run(&REAP, call, self.timeout).await?;
        outcomes(Reply::new(REAP.name, &value), consumers.len(), |one| {
            Ok(Some(match one.outcome()? {
                "reaped" => Reaped::Ok,
                "alive" => Reaped::Alive,
                "pending" => Reaped::Pending,
                _ => {
                    let problem = failure(REAP.name, one)?;
                    tracing::warn!(error = %problem, "a dead consumer's name could not be removed");
                    Reaped::Failed
                }
            }))
        })
    }
}
