use std::time::Duration;

use super::reply::Reply;
use super::script::{ALL, Call, HELLO, JOIN, KEPT, RESUBMIT, SUBMIT};
use super::{Store, StoreError};
use crate::id::{EntryId, Epoch, Lane, StreamId};

/// The store that a worker has to do with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) epoch: Epoch,
    /// For how long nothing is handed out.
    pub(crate) quiet: Duration,
    /// The server's clock, in microseconds.
    pub(crate) now_us: u64,
}

/// What a worker says to the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Greeting<'a> {
    pub(crate) lock_ttl: Duration,
    /// [`None`] where it does not scan, or runs already.
    pub(crate) min_idle: Option<Duration>,
    /// [`None`] but for the first partition.
    pub(crate) partitions: Option<u16>,
    /// The epoch that it works under; [`None`] at its start.
    pub(crate) known: Option<&'a Epoch>,
    /// Whether the server's clock has jumped since then.
    pub(crate) jumped: bool,
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
    Partitions {
        stored: u16,
    },
}

impl Store {
    /// Makes the group (at id 0, so that nothing submitted earlier is skipped) and the epoch where they are missing,
    /// and says which epoch holds. May be repeated.
    pub(crate) async fn hello(&self, greeting: Greeting<'_>) -> Result<Result<Hello, HelloRefusal>, StoreError> {
        let keys = &self.keys;
        let call = Call::on(keys)
            .arg(Epoch::draw().0)
            .number(millis(greeting.lock_ttl))
            .number(greeting.min_idle.map_or(0, millis))
            .number(greeting.partitions.unwrap_or(0).into())
            .arg(greeting.known.map_or("", |epoch| epoch.0.as_str()))
            .arg(if greeting.jumped { "1" } else { "0" });
        let value = self.line.run(&HELLO, call, self.timeout).await?;
        let reply = Reply::new(HELLO.name, &value);
        match reply.outcome()? {
            "ok" => Ok(Ok(Hello {
                epoch: Epoch(reply.at(1)?.text()?.to_owned()),
                quiet: Duration::from_millis(reply.at(2)?.number()?),
                now_us: reply.at(3)?.number()?,
            })),
            "wrong_type" => Ok(Err(HelloRefusal::WrongType {
                key: reply.at(1)?.text()?.to_owned(),
                found: reply.at(2)?.text()?.to_owned(),
                expected: reply.at(3)?.text()?.to_owned(),
            })),
            "fleet_ttl" => Ok(Err(HelloRefusal::FleetTtl {
                largest: Duration::from_millis(reply.at(1)?.number()?),
            })),
            "partitions" => Ok(Err(HelloRefusal::Partitions { stored: count(reply)? })),
            _ => Err(reply.unexpected("an outcome of hello")),
        }
    }

    /// Into how many partitions the service is divided, as its first partition keeps it. Where nobody has said so yet,
    /// `partitions` is kept from now on.
    pub(crate) async fn join(&self, partitions: Option<u16>) -> Result<Option<u16>, StoreError> {
        let call = Call::on(&self.keys).number(partitions.unwrap_or(0).into());
        let value = self.line.run(&JOIN, call, self.timeout).await?;
        let stored = count(Reply::new(JOIN.name, &value))?;
        Ok((stored != 0).then_some(stored))
    }

    /// Loads the scripts on this connection's server.
    pub(crate) async fn load_scripts(&self) -> Result<(), StoreError> {
        self.line.load(ALL, self.timeout).await
    }

    /// Loads what a producer needs, so that no submit has to be sent twice, which would change their order.
    pub(crate) async fn load_submit(&self) -> Result<(), StoreError> {
        self.line.load(&[&SUBMIT, &JOIN], self.timeout).await
    }

    /// Loads what a producer needs in addition that keeps what it submits.
    pub(crate) async fn load_resubmit(&self) -> Result<(), StoreError> {
        self.line.load(&[&KEPT, &RESUBMIT], self.timeout).await
    }
}

fn count(reply: Reply<'_>) -> Result<u16, StoreError> {
    u16::try_from(reply.at(1)?.number()?).map_err(|_| reply.unexpected("a number of partitions"))
}

/// Redis refuses this id.
pub(super) const NO_ENTRY: EntryId = EntryId {
    lane: Lane::Input,
    id: StreamId { ms: 0, seq: 0 },
};

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
