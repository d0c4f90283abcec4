//! What kind of failure an error is: of the client library, or in the words of a server.

use fred::error::{Error as FredError, ErrorKind};

use crate::store::tls;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// No answer in time; the server may still carry it out.
    Timeout,
    /// There was no connection, so nothing was sent.
    NotConnected,
    /// The connection broke after the command may have been sent.
    ConnectionLost,
    Login,
    /// The two ends did not agree on a handshake, so nothing was sent.
    Tls,
    Denied,
    OutOfMemory,
    NotReady,
    /// The store is another one than the call was meant for.
    EpochChanged,
    Refused(String),
    /// An answer that no server of ours gives.
    Reply(String),
}

/// Only the first word of a server's error means anything; fred keeps the whole text in `details`.
pub(super) fn classify(error: &FredError) -> Kind {
    match error.kind() {
        ErrorKind::Timeout => Kind::Timeout,
        ErrorKind::Tls => Kind::Tls,
        ErrorKind::IO if tls::advice(error.details()).is_some() => Kind::Tls,
        // fred's fail-fast check, before anything was written.
        ErrorKind::Canceled if error.details() == "Connection closed unexpectedly." => Kind::NotConnected,
        // fred has no connection at this moment and has written nothing.
        _ if error.details().starts_with("Failed to route command") => Kind::NotConnected,
        ErrorKind::Canceled | ErrorKind::IO => Kind::ConnectionLost,
        // A connection that was given up with the call still on it: the server may have it, or be about to.
        ErrorKind::Unknown if error.details() == "channel closed" => Kind::ConnectionLost,
        ErrorKind::Auth => Kind::Login,
        _ => of_server(error.details()),
    }
}

pub(super) const MOVED: &str = "MOVED ";
pub(super) const ASK: &str = "ASK ";
/// What a server says that is no master any more, or whose cluster is not whole.
pub(super) const MISPLACED: [&str; 4] = ["READONLY", "CLUSTERDOWN", "MASTERDOWN", "instance state changed"];

/// A script's error carries its cause behind a prefix of its own (Redis 6.2) or a suffix (7.0), so the word is looked for
/// anywhere.
pub(super) fn of_server(text: &str) -> Kind {
    const NOT_READY: [&str; 6] = [
        "LOADING",
        "BUSY ",
        "MISCONF",
        "TRYAGAIN",
        "NOREPLICAS",
        "max number of clients reached",
    ];
    let says = |word: &&str| text.contains(*word);
    if says(&"OOM command not allowed") {
        Kind::OutOfMemory
    } else if says(&"NOPERM") || says(&"can't run this command") || says(&"can't access") || says(&"has no permissions")
    {
        Kind::Denied
    } else if says(&"NOAUTH") || says(&"WRONGPASS") {
        Kind::Login
    } else if NOT_READY.iter().chain(&MISPLACED).any(says) || text.starts_with(MOVED) || text.starts_with(ASK) {
        Kind::NotReady
    } else {
        Kind::Refused(text.to_owned())
    }
}
