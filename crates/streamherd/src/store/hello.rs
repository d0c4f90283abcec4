use std::time::Duration;

use super::reply::Reply;
use super::script::{ALL, Call, HELLO, SUBMIT};
use super::{Store, StoreError};
use crate::id::{EntryId, Epoch, Lane, StreamId};

/// The store that a worker has to do with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) epoch: Epoch,
}

/// Why a worker may not start here.
#[derive(Debug)]
pub(crate) enum HelloRefusal {
    WrongType {
        key: String,
        found: String,
        expected: String,
    },
    FleetTtl {
        largest: Duration,
    },
}

impl Store {
    /// Makes the group (at id 0, so that nothing submitted earlier is skipped) and the epoch where they are missing,
    /// and says which epoch holds. May be repeated.
    pub(crate) async fn hello(
        &self,
        lock_ttl: Duration,
        min_idle: Option<Duration>,
    ) -> Result<Result<Hello, HelloRefusal>, StoreError> {
        let keys = &self.keys;
        let call = Call::on(keys)
            .key(keys.lock(&NO_ENTRY))
            .arg(Epoch::draw().0)
            .number(millis(lock_ttl))
            .number(min_idle.map_or(0, millis));
        let value = self.connection.run(&HELLO, call, self.timeout).await?;
        let reply = Reply::new(HELLO.name, &value);
        match reply.outcome()? {
            "ok" => Ok(Ok(Hello {
                epoch: Epoch(reply.at(1)?.text()?.to_owned()),
            })),
            "wrong_type" => Ok(Err(HelloRefusal::WrongType {
                key: reply.at(1)?.text()?.to_owned(),
                found: reply.at(2)?.text()?.to_owned(),
                expected: reply.at(3)?.text()?.to_owned(),
            })),
            "fleet_ttl" => Ok(Err(HelloRefusal::FleetTtl {
                largest: Duration::from_millis(reply.at(1)?.number()?),
            })),
            _ => Err(reply.unexpected("an outcome of hello")),
        }
    }

    /// Loads the scripts on this connection's server.
    pub(crate) async fn load_scripts(&self) -> Result<(), StoreError> {
        self.connection.load(ALL, self.timeout).await
    }

    /// Loads what a producer needs, so that no submit has to be sent twice, which would change their order.
    pub(crate) async fn load_submit(&self) -> Result<(), StoreError> {
        self.connection.load(&[&SUBMIT], self.timeout).await
    }
}

/// Redis refuses this id.
pub(super) const NO_ENTRY: EntryId = EntryId {
    lane: Lane::Input,
    id: StreamId { ms: 0, seq: 0 },
};

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
