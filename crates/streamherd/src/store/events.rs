//! Keyspace notifications, on a connection that carries nothing else: a refused subscription shifts the replies of
//! whatever shares its connection.

use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::{EventInterface, PubsubInterface};
use fred::types::{KeyspaceEvent, Value};
use tokio::sync::broadcast;

use super::connection::Reconnects;
use super::reply::Reply;
use super::{Connection, Store, StoreError};
use crate::broker::event;
use crate::id::EntryId;
use crate::keys::Keys;

/// The expiry of a lock, as its notification tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LockExpired {
    pub(crate) partition: u16,
    pub(crate) id: EntryId,
}

/// A subscription to the expiry of a service's locks on one server.
pub(crate) struct Subscription {
    connection: Connection,
    events: broadcast::Receiver<KeyspaceEvent>,
    /// Of all partitions, by number.
    keys: Vec<Arc<Keys>>,
    database: u8,
    timeout: Duration,
}

/// What a subscription has to tell.
#[derive(Debug)]
pub(crate) enum Heard {
    Expired(LockExpired),
    /// That many events were lost for want of reading.
    Missed(u64),
    Closed,
}

impl Subscription {
    pub(crate) fn new(connection: Connection, keys: Vec<Arc<Keys>>, database: u8, timeout: Duration) -> Self {
        Self {
            events: connection.client.keyspace_event_rx(),
            connection,
            keys,
            database,
            timeout,
        }
    }

    /// Subscribes and makes sure of it: the client reports success when the command is written, also where the server
    /// refuses the channel. A subscribed RESP2 connection answers PING with a list, any other with a word.
    pub(crate) async fn confirm(&self) -> Result<bool, StoreError> {
        let Some(first) = self.keys.first() else {
            return Ok(false);
        };
        let pattern = first.lock_channel_pattern(self.database);
        self.connection
            .timed("subscribe", self.connection.client.psubscribe(pattern))
            .await?;
        self.is_alive().await
    }

    /// Whether the server still answers this connection as a subscribed one.
    pub(crate) async fn is_alive(&self) -> Result<bool, StoreError> {
        let pong = self
            .connection
            .command("subscribe", "PING", vec![], self.timeout)
            .await?;
        Ok(matches!(pong, Value::Array(_)))
    }

    pub(crate) fn reconnects(&self) -> Reconnects {
        self.connection.reconnects()
    }

    /// # Cancel safety
    /// Cancel safe: no event is lost by dropping the future.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            match self.events.recv().await {
                Ok(event) => {
                    let key = event.key.as_str();
                    let expired = key.and_then(|key| event::lock_expired(&self.keys, &event.operation, key));
                    if let Some((partition, id)) = expired {
                        return Heard::Expired(LockExpired { partition, id });
                    }
                }
                Err(broadcast::error::RecvError::Lagged(missed)) => return Heard::Missed(missed),
                Err(broadcast::error::RecvError::Closed) => return Heard::Closed,
            }
        }
    }
}

impl Store {
    /// The letters of `notify-keyspace-events`.
    pub(crate) async fn keyspace_flags(&self) -> Result<String, StoreError> {
        self.config(FLAGS).await
    }

    /// What Redis does when its memory is full.
    pub(crate) async fn eviction_policy(&self) -> Result<String, StoreError> {
        self.config("maxmemory-policy").await
    }

    async fn config(&self, name: &'static str) -> Result<String, StoreError> {
        let args = vec!["GET".into(), name.into()];
        let value = self.line.command("config", "CONFIG", args, self.timeout).await?;
        Ok(Reply::new("config", &value).at(1)?.text()?.to_owned())
    }

    pub(crate) async fn set_keyspace_flags(&self, flags: &str) -> Result<(), StoreError> {
        let args = vec!["SET".into(), FLAGS.into(), flags.into()];
        self.line
            .command("config", "CONFIG", args, self.timeout)
            .await
            .map(drop)
    }
}

const FLAGS: &str = "notify-keyspace-events";
