use std::io;
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::LevelFilter;

/// What is logged on this thread, until it is dropped.
#[derive(Debug)]
pub struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

impl Log {
    /// Begins to listen.
    #[must_use]
    pub fn of_this_thread(level: LevelFilter) -> Self {
        let lines = Lines::default();
        let written = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(level)
            .with_writer(move || written.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let log = Self { lines, _guard: guard };
        log.hears_what_others_have_met();
        log
    }

    /// Another test may have met an event or a span for the first time when nobody was interested in it, or may do so on a
    /// thread where nobody is: then it stays unheard. By now each that matters has been met.
    pub fn hears_what_others_have_met(&self) {
        tracing::callsite::rebuild_interest_cache();
    }

    /// What was logged since it was asked last.
    #[must_use]
    pub fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.lines.0.lock().expect("nobody panics here"));
        String::from_utf8(bytes).expect("lines are text")
    }
}

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics here").write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
