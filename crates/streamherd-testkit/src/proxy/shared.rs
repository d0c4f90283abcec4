use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::proxy::command::{Command, Scripts};
use crate::proxy::fault::{Armed, Fault, Rules};

/// What the test's thread and the proxy's thread both touch.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) rules: Mutex<Rules>,
    pub(super) scripts: Mutex<Scripts>,
    pub(super) seen: Mutex<Vec<String>>,
    pub(super) rewrites: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
    live: Mutex<Live>,
    swallowing: AtomicBool,
    muting: AtomicBool,
    slow_ms: AtomicU64,
    bytes_per_second: AtomicU64,
}

/// The sockets of every connection, to close them from the test's thread: when `sever_all` returns, they are closed.
#[derive(Debug, Default)]
struct Live {
    refusing: bool,
    next: u64,
    sockets: HashMap<u64, Vec<TcpStream>>,
}

impl Shared {
    /// Names a request.
    pub(super) fn name(&self, args: Vec<Vec<u8>>) -> Command {
        lock(&self.scripts).command(args)
    }

    /// Records a request.
    pub(super) fn see(&self, command: &Command) {
        lock(&self.seen).push(command.name().to_owned());
    }

    pub(super) fn fault_for(&self, command: &Command) -> Option<(Fault, Armed)> {
        lock(&self.rules).take(command)
    }

    /// Appends a reply to `out` with the rewrites applied.
    pub(super) fn rewrite_onto(&self, out: &mut Vec<u8>, reply: &[u8]) {
        let start = out.len();
        out.extend_from_slice(reply);
        for (from, to) in lock(&self.rewrites).iter() {
            let mut at = start;
            while at + from.len() <= out.len() {
                if out[at..].starts_with(from) {
                    out[at..at + to.len()].copy_from_slice(to);
                    at += to.len();
                } else {
                    at += 1;
                }
            }
        }
    }

    /// Registers a new connection, or `None` while connections are refused.
    pub(super) fn admit(&self, client: TcpStream) -> Option<u64> {
        let mut live = lock(&self.live);
        if live.refusing {
            return None;
        }
        live.next += 1;
        let id = live.next;
        live.sockets.insert(id, vec![client]);
        Some(id)
    }

    /// Adds the server's side of a connection, unless it has been severed meanwhile.
    pub(super) fn join(&self, id: u64, server: TcpStream) -> bool {
        match lock(&self.live).sockets.get_mut(&id) {
            Some(sockets) => {
                sockets.push(server);
                true
            }
            None => false,
        }
    }

    pub(super) fn sever(&self, id: u64) {
        let sockets = lock(&self.live).sockets.remove(&id);
        close(sockets.into_iter().flatten());
    }

    pub(super) fn sever_all(&self) {
        let mut live = lock(&self.live);
        close(live.sockets.drain().flat_map(|(_, sockets)| sockets));
    }

    pub(super) fn swallow(&self, swallowing: bool) {
        self.swallowing.store(swallowing, Ordering::SeqCst);
    }

    pub(super) fn is_swallowing(&self) -> bool {
        self.swallowing.load(Ordering::SeqCst)
    }

    pub(super) fn mute(&self, muting: bool) {
        self.muting.store(muting, Ordering::SeqCst);
    }

    pub(super) fn is_muting(&self) -> bool {
        self.muting.load(Ordering::SeqCst)
    }

    pub(super) fn narrow(&self, bytes_per_second: u64) {
        self.bytes_per_second.store(bytes_per_second, Ordering::SeqCst);
    }

    /// How long so many bytes take.
    pub(super) fn time_for(&self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let micros = bytes.saturating_mul(1_000_000);
        let span = micros.checked_div(self.bytes_per_second.load(Ordering::SeqCst));
        span.map_or(Duration::ZERO, Duration::from_micros)
    }

    pub(super) fn slow_down(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.slow_ms.store(ms, Ordering::SeqCst);
    }

    pub(super) fn slowness(&self) -> Duration {
        Duration::from_millis(self.slow_ms.load(Ordering::SeqCst))
    }

    pub(super) fn refuse(&self, refusing: bool) {
        let mut live = lock(&self.live);
        live.refusing = refusing;
        if refusing {
            close(live.sockets.drain().flat_map(|(_, sockets)| sockets));
        }
    }
}

fn close(sockets: impl Iterator<Item = TcpStream>) {
    for socket in sockets {
        // An error says that the other side has closed it already.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

/// A test that panicked elsewhere must not keep the proxy from closing its connections.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
