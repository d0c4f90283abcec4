//! Time in which the machine ran.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often it is looked whether the machine runs.
const LOOK: Duration = Duration::from_millis(10);
/// Longer between two looks, it stood still.
const STILL: Duration = Duration::from_millis(100);

/// Measures what a machine took that stands still now and then, all its processes together: without these times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopwatch {
    began: Duration,
}

impl Stopwatch {
    /// Measures from now on.
    #[must_use]
    pub fn start() -> Self {
        Self { began: running() }
    }

    /// How long the machine has run since.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        running().saturating_sub(self.began)
    }
}

struct Looks {
    first: Instant,
    last: Instant,
    still: Duration,
}

impl Looks {
    /// How long the machine has run since the first look.
    fn look(&mut self) -> Duration {
        let now = Instant::now();
        let since = now - self.last;
        if since > STILL {
            self.still += since;
        }
        self.last = now;
        (now - self.first).saturating_sub(self.still)
    }
}

static LOOKS: LazyLock<Mutex<Looks>> = LazyLock::new(|| {
    std::thread::Builder::new()
        .name("stopwatch".to_owned())
        .spawn(|| {
            loop {
                std::thread::sleep(LOOK);
                looks().look();
            }
        })
        .expect("a thread");
    let now = Instant::now();
    Mutex::new(Looks {
        first: now,
        last: now,
        still: Duration::ZERO,
    })
});

fn looks() -> MutexGuard<'static, Looks> {
    LOOKS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn running() -> Duration {
    looks().look()
}
