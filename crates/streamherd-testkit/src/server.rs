use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::builder::ServerBuilder;
use crate::clock::Clock;
use crate::error::StartError;
use crate::eventually::Pace;
use crate::launch::{self, Failed, Launch, Role};
use crate::port::Port;
use crate::process::Process;
use crate::tls::{Certificates, Tls};

const PORT_TRIES: usize = 20;
const PORT_DEADLINE: Duration = Duration::from_secs(5);
const LOG_LINES_SHOWN: usize = 60;

/// A private `redis-server`: a port and a directory of its own, no persistence unless asked for, `DEBUG` enabled.
///
/// It is up when [`start`](Self::start) returns, and killed when the value is dropped. Test processes can run side by
/// side. If the thread that drops it is panicking, the end of the server's log goes to stderr, next to the failure.
#[derive(Debug)]
pub struct Server {
    /// `None` between [`kill`](Self::kill) and a restart. Before `dir`, so that the process is gone when its directory
    /// goes.
    process: Option<Process>,
    pub(crate) launch: Launch,
    pub(crate) port: Port,
    _dir: TempDir,
}

impl Server {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// With the message of the [`StartError`]; if `redis-server` is not installed, it names the package.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    ///
    /// If there is no binary, or the server does not answer within 10 s.
    pub fn try_start() -> Result<Self, StartError> {
        Self::builder().try_start()
    }

    /// A server with options.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// The binary that is run: the environment variable `STREAMHERD_REDIS_SERVER` if it is set, else the first
    /// `redis-server` on `PATH`.
    ///
    /// # Errors
    ///
    /// [`StartError::Missing`] if there is none.
    pub fn find_binary() -> Result<PathBuf, StartError> {
        launch::find_binary()
    }

    /// The process id of the running server. A restart changes it.
    ///
    /// # Panics
    ///
    /// If the server has been killed.
    #[must_use]
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// The version of the binary, as `redis-server --version` has it. For Valkey it is Valkey's own, not the Redis
    /// version it claims in `INFO`.
    #[must_use]
    pub fn version(&self) -> (u32, u32, u32) {
        self.launch.version
    }

    /// Stops the server (`SIGSTOP`) and returns when it stands still. Connections stay open, and new ones still succeed,
    /// because the kernel accepts them; but nothing is answered.
    ///
    /// # Panics
    ///
    /// If the server has been killed.
    #[track_caller]
    pub fn freeze(&self) {
        self.process().freeze();
    }

    /// Lets a frozen server run on (`SIGCONT`). It then does all that was sent to it meanwhile.
    ///
    /// # Panics
    ///
    /// If the server has been killed.
    #[track_caller]
    pub fn thaw(&self) {
        self.process().thaw();
    }

    /// Kills the server (`SIGKILL`), frozen or not, and reaps it. Does nothing if it is dead already.
    #[track_caller]
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts the server again on the same port, after a kill if it still runs. The data survives if, and only if, the
    /// server is [persistent](ServerBuilder::persistent).
    ///
    /// # Panics
    ///
    /// If the server does not come back.
    #[track_caller]
    pub fn restart(&mut self) {
        // Somebody may have called SAVE; what is documented as gone has to be gone.
        if !self.launch.persistent {
            return self.restart_empty();
        }
        self.kill();
        if let Err(error) = self.try_start_again() {
            panic!("{}", explain(&error));
        }
    }

    /// Starts the server again on the same port with an empty directory, after a kill if it still runs: what a failover
    /// to a replica that had nothing looks like.
    ///
    /// # Panics
    ///
    /// If the server does not come back.
    #[track_caller]
    pub fn restart_empty(&mut self) {
        if let Err(error) = self.try_restart_empty() {
            panic!("{}", explain(&error));
        }
    }

    /// As [`restart_empty`](Self::restart_empty), for those who have somebody to tell what went wrong.
    ///
    /// # Errors
    ///
    /// If the server does not come back.
    pub fn try_restart_empty(&mut self) -> Result<(), StartError> {
        self.kill();
        self.launch
            .wipe()
            .map_err(StartError::io("empty the server's directory"))?;
        self.try_start_again()
    }

    /// Sets the server's [own clock](ServerBuilder::own_clock): so far ahead of the machine's, or behind it.
    ///
    /// # Panics
    ///
    /// If it has none.
    #[track_caller]
    pub fn set_clock(&self, ahead: Duration, behind: Duration) {
        let clock = self.launch.clock.as_ref().expect("the server has a clock of its own");
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        clock
            .set(micros(ahead) - micros(behind))
            .unwrap_or_else(|e| panic!("the clock can't be set: {e}"));
    }

    /// Stops the background expiry of keys: a key that is past its TTL then expires, and its event is sent, only when
    /// something touches it. A restart resumes it.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    #[track_caller]
    pub fn stop_active_expire(&self) {
        self.client().cmd("DEBUG SET-ACTIVE-EXPIRE 0").ok();
    }

    /// Resumes the background expiry of keys.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    #[track_caller]
    pub fn resume_active_expire(&self) {
        self.client().cmd("DEBUG SET-ACTIVE-EXPIRE 1").ok();
    }

    /// What the server has logged since it was first started, restarts included.
    #[must_use]
    pub fn log(&self) -> String {
        self.launch.log()
    }

    pub(crate) fn launch(builder: ServerBuilder) -> Result<Self, StartError> {
        let binary = match builder.binary {
            Some(binary) => launch::check_binary(binary)?,
            None => launch::find_binary()?,
        };
        let dir = tempfile::Builder::new()
            .prefix("streamherd-redis-")
            .tempdir()
            .map_err(StartError::io("create the server's directory"))?;
        let data = dir.path().join("data");
        fs::create_dir(&data).map_err(StartError::io("create the server's directory"))?;
        let config = match &builder.role {
            Role::Sentinel(text) => {
                let config = dir.path().join("sentinel.conf");
                fs::write(&config, text).map_err(StartError::io("write the Sentinel's configuration"))?;
                Some(config)
            }
            Role::Standalone | Role::ClusterNode => None,
        };
        let tls = match (builder.tls, builder.certificates) {
            (false, _) => None,
            (true, certificates) => Some(Tls {
                certificates: certificates.map_or_else(Certificates::make, Ok)?,
                require_client_certificate: builder.require_client_certificate,
            }),
        };
        let launch = Launch {
            version: launch::version_of(&binary)?,
            binary,
            data,
            log: dir.path().join("redis.log"),
            socket: builder.unix_socket.then(|| dir.path().join("redis.sock")),
            users: builder.users,
            tls,
            role: builder.role,
            config,
            persistent: builder.persistent,
            clock: if builder.own_clock {
                Some(Clock::make(dir.path())?)
            } else {
                None
            },
            args: builder.args,
        };
        for _ in 0..PORT_TRIES {
            let port = match launch.role {
                Role::ClusterNode => Port::draw_with_bus()?,
                Role::Standalone | Role::Sentinel(_) => Port::draw()?,
            };
            match launch.start(port.number()) {
                Ok(process) => {
                    let server = Self {
                        process: Some(process),
                        launch,
                        port,
                        _dir: dir,
                    };
                    if let Some(primary) = &builder.primary {
                        server.wait_for_sync(primary)?;
                    }
                    return Ok(server);
                }
                Err(Failed::PortTaken) => {}
                Err(Failed::Other(error)) => return Err(error),
            }
        }
        Err(StartError::NoFreePort { tries: PORT_TRIES })
    }

    fn try_start_again(&mut self) -> Result<(), StartError> {
        let mut pace = Pace::new(PORT_DEADLINE);
        let process = loop {
            match self.launch.start(self.port()) {
                Ok(process) => break process,
                Err(Failed::Other(error)) => return Err(error),
                Err(Failed::PortTaken) => match pace.next() {
                    Some(pause) => thread::sleep(pause),
                    None => return Err(StartError::PortTaken { port: self.port() }),
                },
            }
        };
        self.process = Some(process);
        Ok(())
    }

    #[track_caller]
    fn process(&self) -> &Process {
        let Some(process) = &self.process else {
            panic!("the redis-server on port {} has been killed", self.port());
        };
        process
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
            eprintln!("---- log of the redis-server at {} ----\n{end}", self.url());
        }
    }
}

/// The error and what caused it, in one line.
pub(crate) fn explain(error: &StartError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
