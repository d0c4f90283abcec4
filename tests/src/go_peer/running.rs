//! What runs beside the user: the reader, the subscription, and a beat per stream.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use streamherd_testkit::{RawClient, Reply};

use super::{Entry, GO_TTL, Shared, Told, commands, lock, mutex};

#[derive(Debug, Default)]
pub(super) struct State {
    /// By name, as the library has it.
    pub(super) held: BTreeMap<String, Entry>,
    pub(super) told: Vec<Told>,
}

/// Lets its tasks through as long as the worker does not hang.
#[derive(Debug, Default)]
pub(super) struct Gate {
    is: Mutex<Being>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Being {
    #[default]
    Running,
    Hanging,
    Dead,
}

impl Gate {
    pub(super) fn hold(&self) {
        self.set(Being::Hanging);
    }

    pub(super) fn release(&self) {
        self.set(Being::Running);
    }

    pub(super) fn close(&self) {
        self.set(Being::Dead);
    }

    fn set(&self, being: Being) {
        let mut is = lock(&self.is);
        if *is != Being::Dead {
            *is = being;
        }
        drop(is);
        self.changed.notify_all();
    }

    /// Waits this long, and while it hangs; whether it lives.
    fn pass(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        let mut is = lock(&self.is);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match *is {
                Being::Dead => return false,
                Being::Running if left.is_zero() => return true,
                Being::Running => {
                    let waited = self.changed.wait_timeout(is, left);
                    is = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Being::Hanging => is = self.changed.wait(is).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// What consumers left alone for long is its own, before it reads anything new. An entry that can't be taken ends this, not it.
pub(super) fn recover(shared: &Arc<Shared>) {
    let mut messages = Vec::new();
    loop {
        let step = shared.with(|redis| commands::autoclaim(redis, &shared.names, &shared.consumer));
        let Some((next, some)) = step else { return };
        messages.extend(some);
        if next == "0-0" {
            break;
        }
    }
    // Its user is not told why.
    let _ = take(shared, &messages);
}

/// Reads until its connection ends or an entry can't be taken.
pub(super) fn read(shared: &Arc<Shared>, redis: &mut RawClient) {
    redis.set_timeout(None).expect("no time is no zero");
    while let Ok(answer) = commands::read(redis, &shared.names, &shared.consumer) {
        if !shared.gate.pass(Duration::ZERO) {
            return;
        }
        let taken = match answer {
            Reply::Error(error) => Err(error),
            streams => take(shared, &streams.array()[0].array()[1].array()),
        };
        if let Err(reason) = taken
            && shared.gate.pass(Duration::ZERO)
        {
            shared.tell(Told::Terminated(reason));
            return;
        }
    }
}

/// Locks one entry after the other and tells the user. The first that can't be read or locked leaves those behind it pending.
fn take(shared: &Arc<Shared>, messages: &[Reply]) -> Result<(), String> {
    for message in messages {
        let told = commands::parse(message)?;
        if let Told::Added(entry, _) = &told {
            if !mutex::lock(shared, entry) {
                return Err(format!("{} is not to be had", entry.lock()));
            }
            hold(shared, entry);
        }
        shared.tell(told);
    }
    Ok(())
}

/// Has an entry whose lock it has, and beats for it.
pub(super) fn hold(shared: &Arc<Shared>, entry: &Entry) {
    lock(&shared.state).held.insert(entry.name.clone(), entry.clone());
    let (shared, entry) = (Arc::clone(shared), entry.clone());
    std::thread::spawn(move || beat(&shared, &entry));
}

fn beat(shared: &Shared, entry: &Entry) {
    while shared.gate.pass(Duration::ZERO) {
        let kept = shared.with(|redis| {
            let is_held = lock(&shared.state).held.contains_key(&entry.name);
            is_held.then(|| mutex::extend(redis, &shared.consumer, entry))
        });
        match kept.flatten() {
            // Dead, or done.
            None => return,
            Some(false) => {
                shared.tell(Told::Disowned(entry.clone()));
                lock(&shared.state).held.remove(&entry.name);
                return;
            }
            Some(true) => {}
        }
        if !shared.gate.pass(GO_TTL / 2) {
            return;
        }
    }
}

/// Tells of every lock that expires, until its connection ends.
pub(super) fn listen(shared: &Shared, subscribed: &mut RawClient) {
    while let Ok(message) = subscribed.receive() {
        if !shared.gate.pass(Duration::ZERO) {
            return;
        }
        if let Some(entry) = commands::expired(&message) {
            shared.tell(Told::Expired(entry));
        }
    }
}
