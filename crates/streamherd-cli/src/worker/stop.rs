//! SIGTERM and SIGINT.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::group::Groups;
use crate::output;

/// A terminal and the wrapper that it runs, such as cargo or a container's init, may each deliver the one Ctrl-C.
const SAME_STOP: Duration = Duration::from_millis(500);

/// The two steps of an ending.
#[derive(Clone)]
pub(super) struct Stop {
    /// No new work.
    pub(super) requested: CancellationToken,
    /// No more time for what is in work.
    pub(super) now: CancellationToken,
}

impl Stop {
    /// Asks for the end at the first signal. A later one ends the process at once, and with it all commands.
    pub(super) fn on_signals(groups: Groups) -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = Self {
            requested: CancellationToken::new(),
            now: CancellationToken::new(),
        };
        let requested = stop.requested.clone();
        tokio::spawn(async move {
            let mut first: Option<Instant> = None;
            loop {
                let code = tokio::select! {
                    Some(()) = terminate.recv() => 128 + 15,
                    Some(()) = interrupt.recv() => 128 + 2,
                    else => return,
                };
                match first {
                    None => {
                        first = Some(Instant::now());
                        output::say("stopping; signal again to stop at once");
                        requested.cancel();
                    }
                    Some(at) if at.elapsed() < SAME_STOP => {}
                    Some(_) => {
                        groups.kill_all();
                        std::process::exit(code);
                    }
                }
            }
        });
        Ok(stop)
    }
}
