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

/// Where the nodes of a cluster talk among themselves, counted from a node's port: Redis's own default, as 6.2 knows no
/// other.
const BUS_OFFSET: u16 = 10_000;

/// A port of 127.0.0.1 that belongs to this process as long as the value lives, also while nobody listens on it: no
/// outgoing connection gets it, and no other test of the same user draws it.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Between a kill and a restart nobody listens on the port. The lock keeps parallel test processes of the same user
    /// from drawing it in that gap; the operating system releases it if the process dies.
    _lock: File,
    /// The same for the port of a cluster's bus.
    _bus_lock: Option<File>,
}

impl Port {
    /// Draws a port that nobody listens on and no other test process holds.
    pub(crate) fn draw() -> Result<Self, StartError> {
        Self::listen().map(|(port, _)| port)
    }

    /// Draws a port and listens on it.
    ///
    /// # Errors
    /// Many were drawn and none was free, or the locks of ports can't be written.
    pub fn listen() -> Result<(Self, TcpListener), StartError> {
        for _ in 0..TRIES {
            let number = random_port();
            if let Some((lock, listener)) = take(number)? {
                let port = Self {
                    number,
                    _lock: lock,
                    _bus_lock: None,
                };
                return Ok((port, listener));
            }
        }
        Err(StartError::NoFreePort { tries: TRIES })
    }

    /// Draws a port whose [`BUS_OFFSET`] neighbour is free too and is held with it, as a cluster's node needs.
    pub(crate) fn draw_with_bus() -> Result<Self, StartError> {
        for _ in 0..TRIES {
            let number = random_port();
            if let Some((lock, _)) = take(number)?
                && let Some((bus_lock, _)) = take(number + BUS_OFFSET)?
            {
                return Ok(Self {
                    number,
                    _lock: lock,
                    _bus_lock: Some(bus_lock),
                });
            }
        }
        Err(StartError::NoFreePort { tries: TRIES })
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }
}

/// Locks a port and listens on it, or `None` if it is another's.
fn take(number: u16) -> Result<Option<(File, TcpListener)>, StartError> {
    let dir = lock_dir().map_err(StartError::io("create the directory for port locks"))?;
    let lock = File::create(dir.join(number.to_string())).map_err(StartError::io("create a port lock"))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok();
    Ok(listener.map(|listener| (lock, listener)))
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
