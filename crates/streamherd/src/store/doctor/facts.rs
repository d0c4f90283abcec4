//! What was seen of servers, a login and a service.

use std::collections::BTreeMap;

use crate::config::ClusterMode;
use crate::id::StreamId;
use crate::store::StoreError;
use crate::store::rights::{Right, Role};

/// What was seen, or why not.
pub(crate) type Seen<T> = Result<T, Refusal>;

/// What the server said instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The ACL rule that would allow it; [`None`] if the login isn't the reason.
    pub(crate) rule: Option<String>,
    pub(crate) command: String,
    pub(crate) text: String,
}

/// All that was found out.
#[derive(Debug)]
pub(crate) struct Found {
    /// Those that hold a partition, as far as is known.
    pub(crate) servers: Vec<FoundServer>,
    pub(crate) unserved: Vec<Unserved>,
    pub(crate) partitions: u16,
}

#[derive(Debug)]
pub(crate) struct FoundServer {
    pub(crate) address: String,
    pub(crate) redis_cli: Vec<String>,
    /// The partitions that it holds.
    pub(crate) partitions: Vec<u16>,
    /// Or that it doesn't answer.
    pub(crate) facts: Result<Facts, StoreError>,
}

/// A partition whose slot no server holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unserved {
    pub(crate) partition: u16,
    pub(crate) slot: u16,
}

/// What was found out about one server.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) place: Asker,
    pub(crate) info: Seen<BTreeMap<String, String>>,
    pub(crate) config: Seen<BTreeMap<String, String>>,
    pub(crate) clock: Seen<Clock>,
    /// [`None`] where it isn't a cluster's node, or isn't used as one.
    pub(crate) cluster: Option<Seen<ClusterState>>,
    /// [`None`] where the server can't keep a service at all, so that there was nothing to ask it.
    pub(crate) service: Option<ServiceFacts>,
}

/// What a node says of its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClusterState {
    pub(crate) ok: bool,
    /// Masters that hold slots.
    pub(crate) masters: u64,
}

/// Where the server is and who asked, for the commands that mend.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) mode: ClusterMode,
    pub(crate) redis_cli: Vec<String>,
    /// As in a URL: host and port, or the socket's path.
    pub(crate) address: String,
    pub(crate) user: String,
    pub(crate) service: String,
    pub(crate) role: Role,
    pub(crate) key_rules: Vec<String>,
    pub(crate) channel_rule: String,
    /// The smallest login for the role.
    pub(crate) smallest: Vec<String>,
}

/// The server's time, and the local time before it was asked and after it had answered, all in Unix microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) before: u64,
    pub(crate) server: u64,
    pub(crate) after: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct ServiceFacts {
    pub(crate) rights: Vec<(Right, Answer)>,
    pub(crate) script: Seen<()>,
    /// What the server says to a write that it would refuse for another reason if it took writes at all.
    pub(crate) write: Seen<String>,
    /// Those that the server holds.
    pub(crate) partitions: Vec<PartitionFacts>,
}

#[derive(Debug, Clone)]
pub(crate) struct PartitionFacts {
    pub(crate) number: u16,
    pub(crate) keys: Vec<KeyFact>,
    /// Input and front.
    pub(crate) lanes: Vec<LaneFact>,
    /// The fleet's largest `lock_ttl` and until when that holds, in Unix milliseconds.
    pub(crate) lock_ttl: Seen<Option<(u64, u64)>>,
}

/// What came of trying a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Allowed,
    Denied,
    /// The command is allowed, the key isn't.
    KeyDenied,
    /// The server doesn't know it, whoever asks: renamed, or blocked by the provider.
    Missing,
}

#[derive(Debug, Clone)]
pub(crate) struct KeyFact {
    pub(crate) key: String,
    pub(crate) expected: &'static str,
    /// `none` where there is nothing.
    pub(crate) found: Seen<String>,
    /// Whether the login may read and write it, as far as its role has to.
    pub(crate) allowed: bool,
    /// The last id that was given out, of a stream that is there.
    pub(crate) last_id: Seen<Option<StreamId>>,
}

#[derive(Debug, Clone)]
pub(crate) struct LaneFact {
    pub(crate) length: Seen<u64>,
    pub(crate) has_group: Seen<bool>,
}

impl Refusal {
    /// Redis looks at the command first, and names it; then at the keys, and doesn't.
    pub(crate) fn is_about_keys(&self) -> bool {
        self.rule.is_some() && self.text.contains("access")
    }
}
