mod kind;

use std::fmt::{self, Write as _};

use fred::error::Error as FredError;

use self::kind::{ASK, Kind, MISPLACED, MOVED, classify, of_server};
use super::network::Node;
use super::tls;
use crate::config::ClusterMode;

/// Redis did not answer, or refused.
///
/// Opaque on purpose: what the cause is made of may change; the predicates stay.
#[derive(Debug)]
pub struct StoreError {
    /// The verb of the protocol that failed.
    operation: &'static str,
    kind: Kind,
    source: Option<Cause>,
}

/// The operation that has no connection yet.
pub(super) const CONNECT: &str = "connect";

/// What the client library said, without the debug form of an operating system's error that it keeps.
#[derive(Debug, Clone)]
struct Cause(FredError);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = self.0.details();
        let message = details
            .split_once("message: \"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .map(|(message, _)| message);
        // As rustls's errors come.
        let custom = || {
            let (_, error) = details.strip_prefix("Custom { ")?.split_once(", error: ")?;
            error.strip_suffix(" }")
        };
        Said(message.or_else(custom).unwrap_or(details)).fmt(f)
    }
}

impl std::error::Error for Cause {}

/// What a server said, as a part of one line: errors are logged as they are displayed, and a script's may repeat what another
/// program wrote.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\'' | '"' | '\\' => f.write_char(c),
            _ => write!(f, "{}", c.escape_debug()),
        })
    }
}

impl StoreError {
    pub(super) fn new(operation: &'static str, source: FredError) -> Self {
        let mut kind = classify(&source);
        if operation == CONNECT && kind == Kind::ConnectionLost {
            kind = Kind::NotConnected;
        }
        Self {
            operation,
            kind,
            source: Some(Cause(source)),
        }
    }

    pub(super) fn reply(operation: &'static str, what: impl Into<String>) -> Self {
        Self {
            operation,
            kind: Kind::Reply(what.into()),
            source: None,
        }
    }

    /// An error that a batch script reported for one of its entries.
    pub(crate) fn of_entry(operation: &'static str, text: &str) -> Self {
        Self {
            operation,
            kind: of_server(text),
            source: None,
        }
    }

    /// The store is not the one that the call was meant for; the caller has said hello and tries again.
    pub(crate) const fn epoch_changed(operation: &'static str) -> Self {
        Self {
            operation,
            kind: Kind::EpochChanged,
            source: None,
        }
    }

    /// Hello has to be said.
    pub(crate) const fn is_epoch_changed(&self) -> bool {
        matches!(self.kind, Kind::EpochChanged)
    }

    /// The connection, or the runtime it lived on, ended under way.
    pub(crate) const fn interrupted(operation: &'static str) -> Self {
        Self {
            operation,
            kind: Kind::ConnectionLost,
            source: None,
        }
    }

    /// There is no connection, and nothing was sent.
    pub(crate) const fn not_connected(operation: &'static str) -> Self {
        Self {
            operation,
            kind: Kind::NotConnected,
            source: None,
        }
    }

    /// No connection came about in time.
    pub(super) const fn no_answer(operation: &'static str) -> Self {
        Self {
            operation,
            kind: Kind::Timeout,
            source: None,
        }
    }

    /// No server holds a partition's slot at present.
    pub(crate) const fn homeless() -> Self {
        Self {
            operation: CONNECT,
            kind: Kind::NotReady,
            source: None,
        }
    }

    pub(crate) fn hello_refused(why: &str) -> Self {
        Self::refused("hello", why)
    }

    pub(crate) fn refused(operation: &'static str, why: &str) -> Self {
        Self {
            operation,
            kind: Kind::Refused(why.to_owned()),
            source: None,
        }
    }

    /// With what to do about it.
    pub(super) fn advised(mut self, advice: &str) -> Self {
        if let Kind::Refused(text) = &mut self.kind {
            *text = format!("{text}; {advice}");
        }
        self
    }

    /// The same error once more, for several who wait for one batch.
    pub(crate) fn again(&self) -> Self {
        Self {
            operation: self.operation,
            kind: self.kind.clone(),
            source: self.source.clone(),
        }
    }

    /// The server is there but can't serve this now: loading, failing over, busy.
    #[must_use]
    pub const fn is_not_ready(&self) -> bool {
        matches!(self.kind, Kind::NotReady | Kind::EpochChanged)
    }

    /// Waiting may mend it, whatever is asked: the server does not answer, or can't serve anybody at present. Not so a slot
    /// that migrates, where heartbeats get through.
    pub(crate) fn is_away(&self) -> bool {
        let not_ready = matches!(self.kind, Kind::NotReady) && !self.is_migrating();
        self.is_timeout() || self.is_disconnected() || not_ready
    }

    /// The server has not even been asked: there is no connection, or it refuses the login.
    pub(crate) fn is_unheard(&self) -> bool {
        self.is_away() || self.is_login() || self.operation == CONNECT
    }

    /// No answer came in time. The server may still carry the command out.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self.kind, Kind::Timeout)
    }

    /// There is no connection, or it broke.
    #[must_use]
    pub const fn is_disconnected(&self) -> bool {
        matches!(self.kind, Kind::NotConnected | Kind::ConnectionLost | Kind::Tls)
    }

    /// The command certainly changed nothing: it was not sent, or the server refused it.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        // The client library ends a connection over which that came, and tells it to all that wait there, whoever asked.
        let told_to_all = self.says("CLUSTERDOWN");
        let unknown = matches!(self.kind, Kind::Timeout | Kind::ConnectionLost | Kind::Reply(_));
        self.operation == CONNECT || !(unknown || told_to_all)
    }

    /// The server's memory limit is reached.
    #[must_use]
    pub const fn is_out_of_memory(&self) -> bool {
        matches!(self.kind, Kind::OutOfMemory)
    }

    /// The user lacks a permission.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self.kind, Kind::Denied)
    }

    /// The server that was asked does not hold the partition, or not any more. Nothing was changed there.
    pub(crate) fn is_misplaced(&self) -> bool {
        self.is_moved() || MISPLACED.iter().any(|word| self.says(word))
    }

    /// The server knows who does.
    pub(super) fn is_moved(&self) -> bool {
        self.server_text().starts_with(MOVED)
    }

    /// The server can't write its snapshot, and therefore refuses nearly everything.
    pub(crate) fn is_unwell(&self) -> bool {
        self.says("MISCONF")
    }

    /// What the server is instead of what a client of that mode looks for, and what URLs to such begin with.
    pub(super) fn other_mode(&self, mode: ClusterMode) -> Option<(&'static str, &'static str)> {
        match mode {
            ClusterMode::Standalone if self.is_moved() => Some(("a node of a cluster", "redis-cluster")),
            ClusterMode::Standalone if self.says("unknown command 'EVALSHA'") => Some(("a sentinel", "redis-sentinel")),
            ClusterMode::Oss if self.says("cluster support disabled") => Some(("no node of a cluster", "redis")),
            ClusterMode::Oss if self.says("unknown command 'CLUSTER'") => Some(("a sentinel", "redis-sentinel")),
            ClusterMode::Sentinel if self.says("unknown command 'SENTINEL'") => Some(("no sentinel", "redis")),
            _ => None,
        }
    }

    /// Where to ask for a key that has left with its migrating slot.
    pub(super) fn asks(&self) -> Option<Node> {
        let address = self.server_text().strip_prefix(ASK)?.split_ascii_whitespace().nth(1)?;
        let (host, port) = address.rsplit_once(':')?;
        Some(Node::at(host, port.parse().ok()?))
    }

    /// The slot migrates: some of its keys are here and some are not.
    pub(crate) fn is_migrating(&self) -> bool {
        self.says("TRYAGAIN") || self.asks().is_some()
    }

    /// The login was refused.
    #[must_use]
    pub const fn is_login(&self) -> bool {
        matches!(self.kind, Kind::Login)
    }

    /// What to do about a TLS handshake that failed.
    pub(super) fn tls_advice(&self) -> Option<&'static str> {
        let at_fault = matches!(self.kind, Kind::Tls);
        at_fault.then(|| tls::advice(self.server_text()).unwrap_or("look at the server's log"))
    }

    pub(super) fn server_text(&self) -> &str {
        match (&self.kind, &self.source) {
            (Kind::Refused(text), _) => text,
            (_, Some(Cause(source))) => source.details(),
            _ => "",
        }
    }

    pub(super) fn says(&self, word: &str) -> bool {
        self.server_text().contains(word)
    }

    /// One word for metrics.
    pub(crate) const fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Timeout => "timeout",
            Kind::NotConnected => "not_connected",
            Kind::ConnectionLost => "connection_lost",
            Kind::Login => "login",
            Kind::Tls => "tls",
            Kind::Denied => "denied",
            Kind::OutOfMemory => "out_of_memory",
            Kind::NotReady => "not_ready",
            Kind::EpochChanged => "epoch_changed",
            Kind::Refused(_) => "refused",
            Kind::Reply(_) => "reply",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.operation;
        match &self.kind {
            Kind::Timeout => write!(f, "{operation}: Redis did not answer in time"),
            Kind::NotConnected => write!(f, "{operation}: there is no connection to Redis"),
            Kind::ConnectionLost => write!(f, "{operation}: the connection to Redis broke before the answer"),
            Kind::Login => write!(f, "{operation}: Redis refused the login"),
            Kind::Tls => write!(f, "{operation}: the TLS handshake with Redis failed"),
            Kind::Denied => write!(
                f,
                "{operation}: the Redis user lacks a permission; grant it with ACL SETUSER ({})",
                Said(self.server_text())
            ),
            Kind::OutOfMemory => write!(
                f,
                "{operation}: Redis has reached its maxmemory; raise it or free memory"
            ),
            Kind::EpochChanged => write!(f, "{operation}: Redis is another one than before, or came back changed"),
            Kind::NotReady if self.server_text().is_empty() => write!(f, "{operation}: Redis can't serve this now"),
            Kind::NotReady => write!(
                f,
                "{operation}: Redis can't serve this now ({})",
                Said(self.server_text())
            ),
            Kind::Refused(text) => write!(f, "{operation}: Redis refused: {}", Said(text)),
            Kind::Reply(what) => write!(f, "{operation}: Redis gave an unexpected answer: {what}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests;
