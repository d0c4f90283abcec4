//! The seam to Redis: the only room that names a Redis command or a type of its client library.
//!
//! One file per capability; each turns a verb of the protocol into one script call and its reply into plain types.

mod connection;
mod dead_letters;
mod doctor;
mod endpoint;
mod error;
mod events;
mod hello;
mod inspect;
mod kept;
mod lease;
mod login;
mod migrate;
mod network;
mod packed;
mod queue;
mod registry;
mod reply;
mod requeue;
mod rights;
mod script;
mod settle;
mod submit;
mod sweep;
mod tls;
mod url;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use connection::{Connection, Incarnation};
pub(crate) use dead_letters::{Census, Redriven};
pub(crate) use doctor::{
    Answer, Asker, ClusterState, Facts, Found, FoundServer, KeyFact, LaneFact, PartitionFacts, Refusal, ServiceFacts,
    examine,
};
#[cfg(test)]
pub(crate) use doctor::{Clock, Unserved};
pub(crate) use endpoint::{Access, Endpoint};
pub use error::StoreError;
pub(crate) use events::{Heard, LockExpired, Subscription};
pub(crate) use hello::{Greeting, Hello, HelloRefusal};
#[cfg(test)]
pub(crate) use inspect::ConsumerInfo;
pub(crate) use inspect::{Kicked, Name, Picture, Place, SeenLease, ServerKind, Wanted};
pub(crate) use kept::{Asked, Identity, Lost, Resubmission, Resubmitted, Stands, digest_of};
pub(crate) use lease::{Acquired, Renewed, Restorable, Restored};
pub use login::Credentials;
pub(crate) use migrate::{Migrated, Movable};
pub(crate) use network::{Line, Lines, Network, Node, Placement, Which};
#[cfg(test)]
pub(crate) use network::{merge, of_cluster, of_sentinel};
pub(crate) use queue::{Locked, RawEntry, Seize, Taken, TakenEntry, Waited};
pub(crate) use registry::{Reaped, Registry};
pub(crate) use requeue::{Gate, Listing, Looked, RequeueLimits, Requeued, Soon};
pub use rights::{Need, Right, Role};
#[cfg(test)]
pub(crate) use rights::{channel_rule, key_rules};
pub(crate) use settle::{Operation, SettleLimits, SettleOutcome, SettleStep};
pub(crate) use submit::{Accepted, PromoteOutcome, Submission, When};
pub use submit::{Durability, Submitted};
pub(crate) use sweep::{Stranded, Swept};
pub use tls::Tls;

use crate::id::{ConsumerId, Epoch};
use crate::keys::{Keys, Layout};

/// One partition of a service, seen by one consumer over one line.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) line: Line,
    keys: Arc<Keys>,
    consumer: ConsumerId,
    /// The timeout of every call made through this handle, but for blocking reads.
    timeout: Duration,
}

impl Store {
    pub(crate) const fn new(line: Line, keys: Arc<Keys>, consumer: ConsumerId, timeout: Duration) -> Self {
        Self {
            line,
            keys,
            consumer,
            timeout,
        }
    }

    /// Whether Go workers read the same queue.
    pub(crate) fn is_shared_with_go(&self) -> bool {
        self.keys.layout() == Layout::GoCompatible
    }

    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys)
    }

    /// The same store over other connections.
    pub(crate) fn over(&self, lines: &Lines) -> Self {
        Self {
            line: self.line.over(lines),
            ..self.clone()
        }
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The same store with another timeout.
    pub(crate) fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }
}

/// What a script that takes the epoch answers: it judges nothing under another one.
#[derive(Debug)]
pub(crate) enum Judged<T> {
    Ok(T),
    /// The store is not the one that this epoch stands for, or its group is gone: say hello first.
    EpochChanged,
    /// Owners restore what they hold: for so long nothing is handed out.
    Quiet(Duration),
}

impl Epoch {
    fn arg(&self) -> fred::types::Value {
        self.0.as_str().into()
    }
}
