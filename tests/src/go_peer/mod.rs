//! A worker that says to Redis what one of the Go library `handcoding-labs/redis-stream-client-go` says, command by command,
//! so that tests see a mixed fleet without a Go toolchain. Written from its main branch (redsync v4.13.0, go-redis v9.6.3):
//!
//! | here | there |
//! |---|---|
//! | [`GoWorker::init`] | `Init` and `NewRedisStreamClient` of impl/relredis.go, with `WithForceConfigOverride` |
//! | `commands::take_notifications` | `enableKeyspaceNotifsForExpiredEvents` of impl/init.go |
//! | `running::listen` | `subscribeToExpiredEvents` and `listenKsp` of impl/init.go, `CreateByKspNotification` of notifs/lbsmsg.go |
//! | `running::recover` | `recoverUnackedLBS` of impl/init.go: what is idle 40 s is claimed without a look at its lock |
//! | `running::read` | `readLBSStream` of impl/init.go: XREADGROUP without COUNT, so one reply holds all that waits |
//! | `running::take` | `processLBSMessages` of impl/init.go: an entry that can't be read or locked ends the reader |
//! | `running::beat` | `startExtendingKey` of impl/init.go: beats while its map has the *name*, whatever the entry |
//! | `mutex::lock`, `extend`, `unlock` | `lockContext`, `touch` with `SetNXOnExtend`, `release` of redsync's mutex.go |
//! | [`GoWorker::claim`] | `Claim` of impl/relredis.go: XCLAIM first, then the lock |
//! | [`GoWorker::done_stream`], [`done`](GoWorker::done) | `DoneStream`, `Done` of impl/relredis.go: unlock, XACK, XDEL, in three steps |
//! | [`submit`] | the producers of examples/load-balancing/main.go |
//!
//! Unlike there, scripts are sent as text each time (redsync tries EVALSHA first) and in words of our own, a failed read isn't
//! retried, and the connections end with `done` as they do at the end of the process that calls it.

mod commands;
mod mutex;
mod running;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use streamherd_testkit::{RawClient, eventually};

use self::commands::Names;
pub use self::commands::submit;
use self::running::{Gate, State};
use crate::{Redis, SOON};

/// How long its locks live: `DefaultHBInterval`. They are extended in half of it.
pub const GO_TTL: Duration = Duration::from_secs(2);
/// What is idle as long as this at its start it takes: `DefaultLBSIdleTime`.
pub const GO_IDLE: Duration = Duration::from_secs(40);

/// An entry, as its lock names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The data stream.
    pub name: String,
    /// The entry's id.
    pub id: String,
}

impl Entry {
    /// The name of its lock.
    #[must_use]
    pub fn lock(&self) -> String {
        format!("{}{}{}", self.name, commands::SEPARATOR, self.id)
    }
}

/// What its user is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// A stream is its own now; with the info.
    Added(Entry, Value),
    /// A lock has expired, whoever had it.
    Expired(Entry),
    /// A lock couldn't be extended.
    Disowned(Entry),
    /// It reads no more, for this reason.
    Terminated(String),
}

/// Why it did not get an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotClaimed {
    /// It is not pending, or was given to somebody within [`GO_TTL`].
    AlreadyClaimed,
    /// It is pending for this worker now, but another's lock is there.
    Locked,
}

/// A running worker. It is killed when it is dropped.
#[derive(Debug)]
pub struct GoWorker {
    shared: Arc<Shared>,
    /// Ends the connections that block.
    control: RawClient,
    blocking: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    names: Names,
    consumer: String,
    /// What all its tasks send commands over; none once it is dead. Locked before `state`.
    commands: Mutex<Option<RawClient>>,
    state: Mutex<State>,
    gate: Gate,
}

impl Shared {
    /// Runs commands, unless it is dead.
    fn with<T>(&self, run: impl FnOnce(&mut RawClient) -> T) -> Option<T> {
        lock(&self.commands).as_mut().map(run)
    }

    fn tell(&self, told: Told) {
        lock(&self.state).told.push(told);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GoWorker {
    /// Starts one, as consumer `redis-consumer-<pod>`.
    ///
    /// # Panics
    /// If Redis refuses a command.
    #[must_use]
    pub fn init(redis: &Redis, service: &str, pod: &str) -> Self {
        let names = Names::of(service);
        let input = names.input.clone();
        let connect = || redis.client_for(&input);
        let mut commands = connect();
        commands::take_notifications(&mut commands);
        let (mut subscribed, mut reading) = (connect(), connect());
        let blocking = [&mut subscribed, &mut reading].map(|client| client.cmd("CLIENT ID").text());
        commands::subscribe(&mut subscribed);
        commands::make_group(&mut commands, &names);
        let shared = Arc::new(Shared {
            consumer: format!("redis-consumer-{pod}"),
            commands: Mutex::new(Some(commands)),
            state: Mutex::default(),
            gate: Gate::default(),
            names,
        });
        running::recover(&shared);
        let (reader, listener) = (Arc::clone(&shared), Arc::clone(&shared));
        std::thread::spawn(move || running::read(&reader, &mut reading));
        std::thread::spawn(move || running::listen(&listener, &mut subscribed));
        Self {
            control: connect(),
            blocking: blocking.to_vec(),
            shared,
        }
    }

    /// Its consumer name, which is also the value of its locks; a restarted worker has the same.
    #[must_use]
    pub fn consumer(&self) -> &str {
        &self.shared.consumer
    }

    /// What it works on, by name: two entries of one name are one to it.
    #[must_use]
    pub fn held(&self) -> BTreeMap<String, Entry> {
        lock(&self.shared.state).held.clone()
    }

    /// All that its user was told so far.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        lock(&self.shared.state).told.clone()
    }

    /// Waits until it was told something of which `found` makes something.
    pub async fn wait_for<T>(&self, what: &str, found: impl Fn(&Told) -> Option<T>) -> T {
        let what = format!("{} is told: {what}", self.consumer());
        eventually(SOON, &what, || {
            let told = self.told().iter().find_map(&found);
            async { told }
        })
        .await
    }

    /// Waits until this stream is its own.
    pub async fn added(&self, name: &str) -> Entry {
        self.wait_for(&format!("added {name}"), |told| match told {
            Told::Added(entry, _) if entry.name == name => Some(entry.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until a lock of this stream has expired.
    pub async fn expired(&self, name: &str) -> Entry {
        self.wait_for(&format!("expired {name}"), |told| match told {
            Told::Expired(entry) if entry.name == name => Some(entry.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until it has noticed that it lost this stream.
    pub async fn disowned(&self, name: &str) -> Entry {
        self.wait_for(&format!("disowned {name}"), |told| match told {
            Told::Disowned(entry) if entry.name == name => Some(entry.clone()),
            _ => None,
        })
        .await
    }

    /// Takes over what has expired.
    ///
    /// # Errors
    /// If somebody else has it.
    ///
    /// # Panics
    /// If it is dead, or Redis refuses a command.
    pub fn claim(&self, expired: &Entry) -> Result<(), NotClaimed> {
        let shared = &self.shared;
        let claimed = shared
            .with(|redis| commands::claim(redis, &shared.names, &shared.consumer, &expired.id))
            .expect("it lives");
        if !claimed {
            return Err(NotClaimed::AlreadyClaimed);
        }
        if !mutex::lock(shared, expired) {
            return Err(NotClaimed::Locked);
        }
        running::hold(shared, expired);
        Ok(())
    }

    /// Ends the work on a stream. False if it has none of this name.
    ///
    /// # Panics
    /// If Redis refuses a command.
    #[expect(clippy::must_use_candidate, reason = "it is done for what it does to Redis")]
    pub fn done_stream(&self, name: &str) -> bool {
        let shared = &self.shared;
        shared
            .with(|redis| {
                let Some(entry) = lock(&shared.state).held.remove(name) else {
                    return false;
                };
                mutex::unlock(redis, &shared.consumer, &entry);
                commands::settle(redis, &shared.names, &entry.id);
                true
            })
            .unwrap_or(false)
    }

    /// Ends the work on all that it has, and itself.
    ///
    /// # Panics
    /// If Redis refuses a command.
    pub fn done(mut self) {
        for name in self.held().keys() {
            self.done_stream(name);
        }
        self.kill();
    }

    /// Ends it as SIGKILL does: nothing is sent any more once this returns, and Redis has closed its connections.
    pub fn kill(&mut self) {
        *lock(&self.shared.commands) = None;
        self.shared.gate.close();
        for id in self.blocking.drain(..) {
            // One that Redis has lost is closed already.
            let _ = self.control.try_call(&["CLIENT", "KILL", "ID", &id]);
        }
    }

    /// Hangs: it neither beats nor begins with what it is given, with its connections open.
    pub fn stop_beating(&self) {
        self.shared.gate.hold();
    }

    /// Goes on where it hung.
    pub fn beat_again(&self) {
        self.shared.gate.release();
    }
}

impl Drop for GoWorker {
    fn drop(&mut self) {
        self.kill();
    }
}
