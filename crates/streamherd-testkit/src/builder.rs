use std::path::PathBuf;

use crate::contact::Contact;
use crate::error::StartError;
use crate::launch::{Role, User};
use crate::server::Server;
use crate::tls::Certificates;

/// How a [`Server`] is started. See [`Server::builder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ServerBuilder {
    pub(crate) binary: Option<PathBuf>,
    pub(crate) args: Vec<String>,
    pub(crate) persistent: bool,
    pub(crate) own_clock: bool,
    pub(crate) unix_socket: bool,
    pub(crate) users: Vec<User>,
    pub(crate) tls: bool,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) require_client_certificate: bool,
    pub(crate) primary: Option<Contact>,
    pub(crate) role: Role,
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

    /// Gives the server a clock of its own, which [`Server::set_clock`] sets; Linux only. Default: the machine's.
    pub fn own_clock(mut self) -> Self {
        self.own_clock = true;
        self
    }

    /// Listens on a unix socket in the server's directory too; see [`Server::unix_socket`]. Default: TCP only.
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Adds an ACL user: `user("worker", "secret", "~{orders:* &* +@all -@dangerous")`. The rules are split at white
    /// space; without any the user may do nothing. The default user stays as it is, without a password and with all
    /// rights, unless it is the one that is named.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>, rules: &str) -> Self {
        self.users.push(User {
            name: name.into(),
            password: password.into(),
            rules: rules.split_whitespace().map(str::to_owned).collect(),
        });
        self
    }

    /// Speaks TLS, and nothing else, on the port, with certificates made for this server alone. Default: plain TCP.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Speaks TLS with these certificates.
    pub fn tls_with(mut self, certificates: &Certificates) -> Self {
        self.certificates = Some(certificates.clone());
        self.tls()
    }

    /// Speaks TLS, and only to clients that show a certificate of the same authority, as [`Server::client`] does.
    /// Default: it asks for none.
    pub fn require_client_certificate(mut self) -> Self {
        self.require_client_certificate = true;
        self.tls()
    }

    /// Copies `primary`, and gets all that it takes when the start returns. Where the primary speaks TLS the replica does too,
    /// with the same certificates.
    pub fn replica_of(mut self, primary: &Server) -> Self {
        self.primary = Some(primary.contact());
        if let Some(certificates) = primary.certificates() {
            self = self.tls_with(certificates);
        }
        let port = primary.port().to_string();
        self.args.extend(["--replicaof", "127.0.0.1", &port].map(str::to_owned));
        self
    }

    /// Makes it a part of a topology.
    pub(crate) fn role(mut self, role: Role) -> Self {
        self.role = role;
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
    /// If there is no binary, it refuses an option, it does not answer within 10 s, it was built without TLS and is to
    /// speak it, or a replica is not in sync within 10 s.
    pub fn try_start(self) -> Result<Server, StartError> {
        Server::launch(self)
    }
}
