//! SIGTERM and SIGINT.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::group::Groups;

/// The two steps of an ending.
#[derive(Clone)]
pub(super) struct Stop {
    /// No new work.
    pub(super) requested: CancellationToken,
    /// No more time for what is in work.
    pub(super) now: CancellationToken,
}

impl Stop {
    /// Asks for the end at the first signal. A second one ends the process at once, and with it all commands.
    pub(super) fn on_signals(groups: Groups) -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = Self {
            requested: CancellationToken::new(),
            now: CancellationToken::new(),
        };
        let requested = stop.requested.clone();
        tokio::spawn(async move {
            let mut seen = 0;
            loop {
                let code = tokio::select! {
                    Some(()) = terminate.recv() => 128 + 15,
                    Some(()) = interrupt.recv() => 128 + 2,
                    else => return,
                };
                seen += 1;
                if seen > 1 {
                    groups.kill_all();
                    std::process::exit(code);
                }
                requested.cancel();
            }
        });
        Ok(stop)
    }
}
