//! What the machine does to everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use streamherd_ledger::{Ledger, Target, now};

const LOOK: Duration = Duration::from_millis(50);
/// From how long on it is a fault of its own: leases are renewed three times in the life of a lock.
const STANDSTILL: Duration = Duration::from_millis(600);

/// Writes down when the whole machine stood still, as shared ones do now and then: leases are lost by that as well.
#[derive(Debug)]
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn begin(ledger: Arc<Ledger>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut last = now();
            while !end.load(Ordering::SeqCst) {
                thread::sleep(LOOK);
                if now().saturating_sub(last) > STANDSTILL {
                    ledger.fault("machine", "standstill", Target::All, last, false);
                }
                last = now();
            }
        });
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has printed why.
            let _ = thread.join();
        }
    }
}
