use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};

use crate::error::StartError;

/// Below the ephemeral range (32768 on Linux), so that no outgoing connection takes the port while its server is down
/// for a restart; and low enough that a cluster bus port (+10000) stays below it too.
const RANGE: std::ops::Range<u64> = 10_000..22_700;
const TRIES: usize = 200;

/// A port that belongs to this process as long as the value lives.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    /// Between a kill and a restart nobody listens on the port. The lock keeps parallel test processes of the same user
    /// from drawing it in that gap; the operating system releases it if the process dies.
    _lock: File,
}

impl Port {
    /// Draws a port that nobody listens on and no other test process holds.
    pub(crate) fn draw() -> Result<Self, StartError> {
        Self::listen().map(|(port, _)| port)
    }

    /// Draws a port and listens on it.
    pub(crate) fn listen() -> Result<(Self, TcpListener), StartError> {
        let dir = lock_dir().map_err(StartError::io("create the directory for port locks"))?;
        for _ in 0..TRIES {
            let number = random_port();
            let lock = File::create(dir.join(number.to_string())).map_err(StartError::io("create a port lock"))?;
            let ours = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            if !ours {
                continue;
            }
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, number)) {
                let port = Self { number, _lock: lock };
                return Ok((port, listener));
            }
        }
        Err(StartError::NoFreePort { tries: TRIES })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

fn lock_dir() -> std::io::Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let dir = std::env::temp_dir().join(format!("streamherd-testkit-ports-{user}"));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn random_port() -> u16 {
    // `RandomState` is the standard library's only source of randomness; the counter makes every draw of a process
    // differ, whatever the keys.
    static DRAWS: AtomicU64 = AtomicU64::new(0);
    let hash = RandomState::new().hash_one(DRAWS.fetch_add(1, Ordering::Relaxed));
    let port = RANGE.start + hash % (RANGE.end - RANGE.start);
    u16::try_from(port).expect("the range fits a port number")
}
