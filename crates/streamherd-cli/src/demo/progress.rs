//! What the demo shows on stderr while it runs.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::human::printable;
use crate::output;

/// Time between two lines where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(2);

pub(super) enum Progress {
    Silent,
    /// A bar that is drawn over.
    Live(ProgressBar),
    /// For logs: a line now and then.
    Plain {
        total: u64,
        next: Instant,
    },
}

impl Progress {
    pub(super) fn new(total: u64, silent: bool) -> Self {
        if silent {
            Self::Silent
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {bar:30} {pos}/{len} done\n{wide_msg}") {
                bar.set_style(style);
            }
            Self::Live(bar)
        } else {
            let next = Instant::now() + PLAIN_EVERY;
            Self::Plain { total, next }
        }
    }

    /// Says that something happened.
    pub(super) fn note(&self, text: &str) {
        match self {
            Self::Silent => {}
            Self::Live(bar) => bar.println(printable(text)),
            Self::Plain { .. } => output::say(text),
        }
    }

    /// Shows how far the work is, and `workers`, a line about each of them.
    pub(super) fn show(&mut self, done: usize, workers: impl FnOnce() -> String) {
        match self {
            Self::Silent => {}
            Self::Live(bar) => {
                bar.set_position(done as u64);
                bar.set_message(printable(&workers()).into_owned());
            }
            Self::Plain { total, next } => {
                let now = Instant::now();
                if now >= *next {
                    *next = now + PLAIN_EVERY;
                    output::say(&format!("{done}/{total} done  {}", workers()));
                }
            }
        }
    }

    pub(super) fn finish(&self) {
        if let Self::Live(bar) = self {
            bar.finish_and_clear();
        }
    }
}
