use std::path::PathBuf;

use crate::error::StartError;
use crate::server::Server;

/// How a [`Server`] is started. See [`Server::builder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ServerBuilder {
    pub(crate) binary: Option<PathBuf>,
    pub(crate) args: Vec<String>,
    pub(crate) persistent: bool,
    pub(crate) unix_socket: bool,
}

impl ServerBuilder {
    /// Passes an option to `redis-server`: `arg("--maxmemory", "10mb")`. Any number of times; a later option wins over an
    /// earlier one and over the testkit's own.
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.args.extend([name.into(), value.into()]);
        self
    }

    /// Keeps the data over a restart: every write is in the append-only file before it is answered. Default: the data
    /// is gone when the server is.
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Listens on a unix socket in the server's directory too; see [`Server::unix_socket`]. Default: TCP only.
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Runs this binary instead of the one [`Server::find_binary`] finds.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    ///
    /// With the message of the [`StartError`].
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(error) => panic!("{}", crate::server::explain(&error)),
        }
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    ///
    /// If there is no binary, it refuses an option, or it does not answer within 10 s.
    pub fn try_start(self) -> Result<Server, StartError> {
        Server::launch(self)
    }
}
