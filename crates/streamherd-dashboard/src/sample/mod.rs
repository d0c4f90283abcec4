//! One look at a service every few seconds, for however many watch.

mod masters;
mod rates;
mod run;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streamherd::{Admin, Client, ConsumerState, Diagnosis, Role, Status};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::masters::Master;
pub use self::rates::Rates;
use crate::history::{History, Ring};

/// How a [`Sampler`] looks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SamplerOptions {
    /// Time from one look to the next: 2 s unless set, at least 100 ms. While Redis is away it grows to five times that.
    pub interval: Duration,
    /// Time from one [`doctor`](Admin::doctor) to the next: a minute unless set, at least a second.
    pub doctor_interval: Duration,
    /// What the login is judged as: an operator's unless set.
    pub role: Role,
    /// A worker in this process, whose breakers are shown then in place of how the sampler itself gets on with the servers.
    /// The sampler keeps it from ending by itself; [shut it down](Client::shutdown).
    pub client: Option<Client>,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            doctor_interval: Duration::from_secs(60),
            role: Role::Operator,
            client: None,
        }
    }
}

/// Looks at a service again and again, and keeps what it saw for an hour: one load on Redis, however many watch.
///
/// Cheap to clone. It goes on for as long as one of its handles exists, also while Redis is away.
#[derive(Debug, Clone)]
pub struct Sampler {
    shared: Arc<Shared>,
    _alive: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    options: SamplerOptions,
    sample: watch::Sender<Arc<Sample>>,
    history: Mutex<Ring>,
    health: Mutex<Option<Health>>,
    /// Somebody wants to see what has changed.
    again: Notify,
    started: Instant,
}

impl Sampler {
    /// Starts to look. The first look is under way when this returns; [`first`](Self::first) waits for it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(admin: Admin, mut options: SamplerOptions) -> Self {
        options.interval = options.interval.max(Duration::from_millis(100));
        options.doctor_interval = options.doctor_interval.max(Duration::from_secs(1));
        let started = Instant::now();
        let shared = Arc::new(Shared {
            sample: watch::Sender::new(Arc::new(Sample::before_the_first(admin.service(), started))),
            history: Mutex::new(Ring::default()),
            health: Mutex::new(None),
            again: Notify::new(),
            started,
            options,
        });
        let end = CancellationToken::new();
        tokio::spawn(
            end.clone()
                .run_until_cancelled_owned(run::look(admin.clone(), Arc::clone(&shared))),
        );
        tokio::spawn(
            end.clone()
                .run_until_cancelled_owned(run::examine(admin, Arc::clone(&shared))),
        );
        Self {
            shared,
            _alive: Arc::new(end.drop_guard()),
        }
    }

    /// What was seen last.
    #[must_use]
    pub fn latest(&self) -> Arc<Sample> {
        Arc::clone(&self.shared.sample.borrow())
    }

    /// Each further sample as it comes; only the latest where one is slow. Ends with the sampler.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Sample>> {
        self.shared.sample.subscribe()
    }

    /// The latest sample, once Redis was asked at all.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn first(&self) -> Arc<Sample> {
        let mut samples = self.subscribe();
        let asked = samples.wait_for(|sample| sample.status.is_some() || sample.error.is_some());
        match asked.await {
            Ok(sample) => Arc::clone(&sample),
            Err(_) => self.latest(),
        }
    }

    /// Has the next look be taken at once, for all who watch: something was changed. However often it is asked, looks are
    /// 100 ms apart.
    pub fn look_again(&self) {
        self.shared.again.notify_one();
    }

    /// What was seen in the last hour.
    #[must_use]
    pub fn history(&self) -> History {
        let ring = self.shared.history.lock().unwrap_or_else(PoisonError::into_inner);
        ring.read(self.shared.started.elapsed())
    }

    /// Time from one look to the next, as long as Redis answers.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.shared.options.interval
    }
}

/// What a look at a service has seen, and what follows from those before it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sample {
    /// The service.
    pub service: String,
    /// The last picture that Redis gave; [`None`] before the first.
    pub status: Option<Arc<Status>>,
    /// When that was, in Unix milliseconds; zero before the first.
    pub at_ms: u64,
    /// What went wrong when Redis was last asked; [`None`] if it answered.
    pub error: Option<String>,
    /// How fast the queue moves.
    pub rates: Rates,
    /// What each consumer finishes per second, by id; those that are known.
    pub consumer_rates: Arc<BTreeMap<String, f64>>,
    /// The servers that hold a partition.
    pub masters: Vec<Master>,
    /// What the doctor found; [`None`] before it has.
    pub health: Option<Health>,
    taken: Instant,
}

/// What the doctor found, and when.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Health {
    /// What it found.
    pub diagnosis: Arc<Diagnosis>,
    at: Instant,
}

impl Health {
    /// How long ago that was.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

/// The consumers of a service, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ConsumerCounts {
    /// Seen within the time that their locks live.
    pub alive: u64,
    /// Not seen for longer.
    pub silent: u64,
    /// Of other programs.
    pub unregistered: u64,
    /// That are to take no new work, of those that live.
    pub paused: u64,
    /// How many streams those that live may hold.
    pub capacity: u64,
    /// How many they held.
    pub held: u64,
    /// How many more those of them could take that are not paused.
    pub free: u64,
    /// Streams that are pending at those that are silent: their locks have expired as well.
    pub orphans: u64,
}

impl Sample {
    fn before_the_first(service: &str, started: Instant) -> Self {
        Self {
            service: service.to_owned(),
            status: None,
            at_ms: 0,
            error: None,
            rates: Rates::default(),
            consumer_rates: Arc::default(),
            masters: Vec::new(),
            health: None,
            taken: started,
        }
    }

    /// How old the picture is: it grows while Redis is away. Before the first, how long one has been waited for.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.taken.elapsed()
    }

    /// The consumers, counted.
    #[must_use]
    pub fn consumers(&self) -> ConsumerCounts {
        self.status.as_deref().map(ConsumerCounts::of).unwrap_or_default()
    }
}

impl ConsumerCounts {
    /// Counts those of a picture.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        let mut counts = Self::default();
        for one in &status.consumers {
            match one.state {
                ConsumerState::Alive => counts.alive += 1,
                ConsumerState::Silent => counts.silent += 1,
                _ => counts.unregistered += 1,
            }
            if one.state == ConsumerState::Silent {
                counts.orphans = counts.orphans.saturating_add(one.pending);
            }
            if one.state != ConsumerState::Alive {
                continue;
            }
            counts.paused += u64::from(one.paused);
            if let Some(about) = &one.registration {
                let (capacity, held) = (about.capacity as u64, about.held as u64);
                counts.capacity = counts.capacity.saturating_add(capacity);
                counts.held = counts.held.saturating_add(held);
                if !one.paused {
                    counts.free = counts.free.saturating_add(capacity.saturating_sub(held));
                }
            }
        }
        counts
    }
}
