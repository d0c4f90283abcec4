use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

/// Names the binary to run.
pub(crate) const BINARY_VARIABLE: &str = "STREAMHERD_REDIS_SERVER";

/// Why a [`Server`](crate::Server), or a topology of them, could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no `redis-server` binary. The message names the package that has it, or the variable that is wrong.
    #[error("{}", missing(place, env::var_os(BINARY_VARIABLE).as_deref()))]
    Missing {
        /// Where it was looked for, as the end of a sentence: `on PATH`, `at /opt/redis-server`.
        place: String,
    },

    /// The binary exists but could not be run.
    #[error("cannot run {}", binary.display())]
    Spawn {
        /// The binary.
        binary: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// `redis-server --version` did not print a version.
    #[error("{} --version printed no version: {output:?}", binary.display())]
    Version {
        /// The binary.
        binary: PathBuf,
        /// What it printed instead.
        output: String,
    },

    /// The server exited before it answered, most often because of a bad argument.
    #[error("redis-server exited before it was ready ({status}); its log:\n{log}")]
    Exited {
        /// How it exited.
        status: ExitStatus,
        /// What it logged.
        log: String,
    },

    /// The server did not answer `PING` in time.
    #[error("redis-server did not answer within {deadline:?}; its log:\n{log}")]
    NotReady {
        /// How long it was given.
        deadline: Duration,
        /// What it logged.
        log: String,
    },

    /// The binary was built without TLS.
    #[error(
        "{} was built without TLS; install one that has it (those of Debian, Ubuntu, Fedora and Homebrew do), or build \
         redis with `make BUILD_TLS=yes`, and name it in STREAMHERD_REDIS_SERVER",
        binary.display()
    )]
    NoTls {
        /// The binary.
        binary: PathBuf,
    },

    /// A replica got no copy of its primary's data in time.
    #[error("the replica was not in sync within {deadline:?}; is its primary up? Its log:\n{log}")]
    NotInSync {
        /// How long it was given.
        deadline: Duration,
        /// What it logged.
        log: String,
    },

    /// A topology was not whole in time.
    #[error(
        "not whole within {deadline:?}: {missing}; on a machine under load its timeouts may be too short for its nodes \
         to hear of each other: raise them in the builder"
    )]
    NotWhole {
        /// How long it was given.
        deadline: Duration,
        /// What was still missing at the end, and of which node.
        missing: String,
    },

    /// A node of a topology refused a command. The message is the server's.
    #[error("a node refused a command: {error}")]
    Refused {
        /// What it said.
        error: String,
    },

    /// No free port was found in the range the testkit draws from.
    #[error("found no free port in {tries} tries")]
    NoFreePort {
        /// How many ports were tried.
        tries: usize,
    },

    /// A server that was to be started again found another program on its port.
    #[error("port {port} is held by another program")]
    PortTaken {
        /// The port.
        port: u16,
    },

    /// The server's directory could not be prepared.
    #[error("cannot {action}")]
    Io {
        /// What was attempted, as a verb phrase.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

impl StartError {
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// No package mends a wrong name.
fn missing(place: &str, named: Option<&OsStr>) -> String {
    if let Some(named) = named.filter(|named| place == format!("at {}", named.display())) {
        return format!(
            "{BINARY_VARIABLE} names {}, which can't be run; correct it or unset it",
            named.display()
        );
    }
    format!(
        "redis-server was not found {place}; install it: `apt-get install redis-server` (Debian, Ubuntu), \
         `dnf install redis` (Fedora), `brew install redis` (macOS), or run `cargo xtask test`, \
         or set {BINARY_VARIABLE} to the binary"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_variable_is_to_be_corrected_and_a_missing_server_to_be_installed() {
        let named = Some(OsStr::new("/nope"));
        assert_eq!(
            missing("at /nope", named),
            "STREAMHERD_REDIS_SERVER names /nope, which can't be run; correct it or unset it"
        );
        for (place, named) in [("on PATH", None), ("at /opt/redis-server", named)] {
            let message = missing(place, named);
            assert!(message.contains("apt-get install redis-server"), "{message}");
        }
    }
}
