use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::clock::Clock;
use crate::contact::Contact;
use crate::error::{BINARY_VARIABLE, StartError};
use crate::eventually::Pace;
use crate::process::Process;
use crate::reply::Reply;
use crate::tls::{Tls, lacks_tls};

const READY_DEADLINE: Duration = Duration::from_secs(10);

pub(crate) type Version = (u32, u32, u32);

/// Everything a start needs and a restart needs again.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) binary: PathBuf,
    pub(crate) version: Version,
    pub(crate) data: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) users: Vec<User>,
    pub(crate) tls: Option<Tls>,
    pub(crate) role: Role,
    /// A Sentinel's configuration file.
    pub(crate) config: Option<PathBuf>,
    pub(crate) persistent: bool,
    pub(crate) clock: Option<Clock>,
    pub(crate) args: Vec<String>,
}

/// A user of the server's ACL.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) rules: Vec<String>,
}

/// What a server is in its topology.
#[derive(Debug, Clone, Default)]
pub(crate) enum Role {
    #[default]
    Standalone,
    /// A node of a cluster, which needs a second port.
    ClusterNode,
    /// A Sentinel whose configuration file begins as this text; it keeps its state there.
    Sentinel(String),
}

/// A start that failed.
pub(crate) enum Failed {
    /// Somebody else listens on the port.
    PortTaken,
    Other(StartError),
}

impl Launch {
    /// Starts the server on `port` and returns when it answers.
    pub(crate) fn start(&self, port: u16) -> Result<Process, Failed> {
        let earlier = self.log().len();
        let mut process = self.spawn(port).map_err(Failed::Other)?;
        let mut pace = Pace::starting_at(READY_DEADLINE, Duration::from_millis(1));
        loop {
            if answers(&self.contact(port), process.pid()) {
                return Ok(process);
            }
            if let Some(status) = process.try_wait() {
                let log = self.log().split_off(earlier);
                if log.contains("Address already in use") {
                    return Err(Failed::PortTaken);
                }
                if self.tls.is_some() && lacks_tls(&log) {
                    let binary = self.binary.clone();
                    return Err(Failed::Other(StartError::NoTls { binary }));
                }
                return Err(Failed::Other(StartError::Exited { status, log }));
            }
            match pace.next() {
                Some(pause) => thread::sleep(pause),
                None => {
                    return Err(Failed::Other(StartError::NotReady {
                        deadline: READY_DEADLINE,
                        log: self.log().split_off(earlier),
                    }));
                }
            }
        }
    }

    /// How the server is reached on `port`.
    pub(crate) fn contact(&self, port: u16) -> Contact {
        Contact {
            port,
            certificates: self.tls.as_ref().map(|tls| tls.certificates.clone()),
        }
    }

    /// What the server has logged since it was first started.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Removes all data, but not what a node knows of its cluster: that is its identity.
    pub(crate) fn wipe(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.data)? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            } else if !path.ends_with("nodes.conf") {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn spawn(&self, port: u16) -> Result<Process, StartError> {
        // Not `--logfile`: an error in an argument is printed before redis-server opens its log file.
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(StartError::io("open the server's log"))?;
        let errors = log.try_clone().map_err(StartError::io("open the server's log"))?;

        let mut command = self.command(&port.to_string());
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        Process::try_spawn(command).map_err(|source| StartError::Spawn {
            binary: self.binary.clone(),
            source,
        })
    }

    fn command(&self, port: &str) -> Command {
        let mut command = Command::new(&self.binary);
        if let Some(clock) = &self.clock {
            clock.add_to(&mut command);
        }
        if let Some(config) = &self.config {
            command.arg(config).arg("--sentinel");
        }
        match &self.tls {
            None => command.args(["--port", port]),
            Some(tls) => tls.add_to(&mut command, port),
        };
        command
            .args(["--bind", "127.0.0.1"])
            .args(["--daemonize", "no", "--save", ""])
            // A replica is served at once instead of after 5 s in which others might come.
            .args(["--repl-diskless-sync-delay", "0"])
            .arg("--dir")
            .arg(&self.data);
        if self.persistent {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        } else {
            command.args(["--appendonly", "no"]);
        }
        // Before 7.0 DEBUG needed no leave, and an option that is not known keeps the server from starting.
        if self.version >= (7, 0, 0) {
            command.args(["--enable-debug-command", "yes"]);
        }
        if let Some(socket) = &self.socket {
            command.arg("--unixsocket").arg(socket);
        }
        if let Role::ClusterNode = self.role {
            command.args(["--cluster-enabled", "yes"]);
        }
        // A Sentinel writes its users into its configuration file, and they may stand in one place only.
        if self.config.is_none() {
            for user in &self.users {
                command.arg("--user").args(user.words());
            }
        }
        command.args(&self.args);
        command
    }
}

impl User {
    /// The user as Redis has it in `ACL SETUSER` and in its configuration.
    pub(crate) fn words(&self) -> impl Iterator<Item = String> {
        let head = [self.name.clone(), "on".to_owned(), format!(">{}", self.password)];
        head.into_iter().chain(self.rules.iter().cloned())
    }
}

/// Whether the server with this pid answers on the port. The pid matters: a stranger may listen there and answer `PING`
/// while ours is still on its way to finding the port taken.
fn answers(contact: &Contact, pid: u32) -> bool {
    let Ok(mut client) = contact.connect() else {
        return false;
    };
    if client.set_timeout(Some(Duration::from_secs(1))).is_err() {
        return false;
    }
    match client.try_call(&["PING"]) {
        Ok(Reply::Status(pong)) if pong == "PONG" => {}
        // With a password, or a default user that may do little, this is as far as a stranger gets.
        Ok(Reply::Error(error)) if is_refusal(&error) => return true,
        _ => return false,
    }
    match client.try_call(&["INFO", "server"]) {
        Ok(Reply::Bulk(info)) => {
            let wanted = format!("process_id:{pid}");
            String::from_utf8_lossy(&info).lines().any(|line| line == wanted)
        }
        Ok(Reply::Error(error)) => is_refusal(&error),
        _ => false,
    }
}

fn is_refusal(error: &str) -> bool {
    error.starts_with("NOAUTH") || error.starts_with("NOPERM")
}

/// The binary named by the environment, or else the first `redis-server` on `PATH`.
pub(crate) fn find_binary() -> Result<PathBuf, StartError> {
    if let Some(named) = env::var_os(BINARY_VARIABLE).filter(|value| !value.is_empty()) {
        return check_binary(PathBuf::from(named));
    }
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|dir| dir.join("redis-server"))
        .find(|file| is_executable(file))
        .ok_or_else(|| StartError::Missing {
            place: "on PATH".to_owned(),
        })
}

pub(crate) fn check_binary(binary: PathBuf) -> Result<PathBuf, StartError> {
    if is_executable(&binary) {
        return Ok(binary);
    }
    Err(StartError::Missing {
        place: format!("at {}", binary.display()),
    })
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The binary's version, asked once per process.
pub(crate) fn version_of(binary: &Path) -> Result<Version, StartError> {
    static KNOWN: LazyLock<Mutex<HashMap<PathBuf, Version>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(version) = known.get(binary) {
        return Ok(*version);
    }
    let output = Command::new(binary)
        .arg("--version")
        .output()
        .map_err(|source| StartError::Spawn {
            binary: binary.to_owned(),
            source,
        })?;
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(version) = parse_version(&output) else {
        return Err(StartError::Version {
            binary: binary.to_owned(),
            output,
        });
    };
    known.insert(binary.to_owned(), version);
    Ok(version)
}

/// Reads `Redis server v=7.0.15 sha=…`; Valkey prints the same form.
fn parse_version(output: &str) -> Option<Version> {
    let number = output.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    let mut parts = number.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_redis_and_valkey_print() {
        let redis = "Redis server v=6.2.14 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64 build=5d";
        let valkey = "Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1a";
        assert_eq!(parse_version(redis), Some((6, 2, 14)));
        assert_eq!(parse_version(valkey), Some((8, 0, 1)));
        assert_eq!(parse_version("no version here"), None);
    }
}
