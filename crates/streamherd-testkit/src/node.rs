use std::io;
use std::thread;
use std::time::Duration;

use crate::builder::ServerBuilder;
use crate::error::StartError;
use crate::eventually::Pace;
use crate::reply::Reply;
use crate::server::Server;

const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A server of a topology, which has to know whom it can ask.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) server: Server,
    up: bool,
}

impl Node {
    pub(crate) fn start(builder: ServerBuilder) -> Result<Self, StartError> {
        let server = builder.try_start()?;
        Ok(Self { server, up: true })
    }

    /// Whether the server runs and is not frozen.
    pub(crate) fn is_up(&self) -> bool {
        self.up
    }

    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.server.kill();
        self.up = false;
    }

    #[track_caller]
    pub(crate) fn freeze(&mut self) {
        self.server.freeze();
        self.up = false;
    }

    #[track_caller]
    pub(crate) fn thaw(&mut self) {
        self.server.thaw();
        self.up = true;
    }

    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.server.restart();
        self.up = true;
    }

    #[track_caller]
    pub(crate) fn restart_empty(&mut self) {
        self.server.restart_empty();
        self.up = true;
    }

    /// Sends a command that must not fail.
    pub(crate) fn ask<A: AsRef<[u8]>>(&self, args: &[A]) -> Result<Reply, StartError> {
        let reply = self
            .server
            .contact()
            .connect()
            .and_then(|mut client| client.try_call(args));
        match reply.map_err(StartError::io("talk to a node"))? {
            Reply::Error(error) => Err(StartError::Refused { error }),
            reply => Ok(reply),
        }
    }

    /// Sends a command to see how things stand, and has no patience.
    pub(crate) fn probe(&self, command: &str) -> Result<Reply, String> {
        let words: Vec<_> = command.split(' ').collect();
        let reply: io::Result<_> = self.server.contact().connect().and_then(|mut client| {
            client.set_timeout(Some(PROBE_TIMEOUT))?;
            client.try_call(&words)
        });
        match reply {
            Ok(Reply::Error(error)) => Err(format!("{} answers {command}: {error}", self.server.url())),
            Ok(reply) => Ok(reply),
            Err(error) => Err(format!("{} does not answer {command}: {error}", self.server.url())),
        }
    }

    /// Whether all that this primary takes reaches this many replicas.
    pub(crate) fn reaches(&self, replicas: usize) -> Result<(), String> {
        match self.server.contact().reaches(replicas) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("{} does not reach {replicas} replicas", self.server.url())),
            Err(error) => Err(format!("{} does not answer: {error}", self.server.url())),
        }
    }

    /// The lines of an `INFO`.
    pub(crate) fn info(&self, command: &str) -> Result<Vec<String>, String> {
        Ok(self.probe(command)?.text().lines().map(str::to_owned).collect())
    }
}

/// Polls `probe`, which tells what is still missing.
pub(crate) fn wait_for<T>(deadline: Duration, probe: impl Fn() -> Result<T, String>) -> Result<T, StartError> {
    let mut pace = Pace::new(deadline);
    loop {
        let missing = match probe() {
            Ok(seen) => return Ok(seen),
            Err(missing) => missing,
        };
        let Some(pause) = pace.next() else {
            return Err(StartError::NotWhole { deadline, missing });
        };
        thread::sleep(pause);
    }
}

/// # Panics
///
/// With the error's message.
#[track_caller]
pub(crate) fn must<T>(result: Result<T, StartError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{}", crate::server::explain(&error)),
    }
}

/// Turns the URL of the first server into that of the topology: `redis://` into `redis-cluster://`, and the other
/// servers into parameters.
pub(crate) fn url_of(first: &str, kind: &str, others: &[Node]) -> String {
    let others = others
        .iter()
        .map(|node| format!("node=127.0.0.1:{}", node.server.port()));
    let others = others.collect::<Vec<_>>().join("&");
    format!("{}?{others}", first.replacen("://", &format!("-{kind}://"), 1))
}
