//! Keeps what was submitted, and submits it again where Redis has lost it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::metrics::Gauge;
use futures_util::future::try_join_all;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Producer;
use super::kept::{Answer, Due, Kept, Shelf};
use crate::clock::Moment;
use crate::config::{range, within};
use crate::error::ConnectError;
use crate::metrics::Metrics;
use crate::store::{Accepted, Asked, Network, Store, Submission, When, digest_of};
use crate::trace::TraceContext;

mod again;
mod look;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);
const MOST: usize = 1_000_000;

impl Producer {
    /// Keeps in memory what was submitted in the last `duration` (1 s to 1 h), and submits it again where Redis has lost
    /// it: when Redis comes back empty, or from an old snapshot, or after a failover that lost the last writes. At most `max`
    /// streams are kept (1 to 1,000,000); beyond that the oldest are given up and counted
    /// (`streamherd_kept_dropped_total`).
    ///
    /// Every two seconds this producer looks whether what it keeps is still there, and forgets what is finished. When the
    /// store is another one than before, it waits until the workers have written back what they hold (the quiet time, and at
    /// least one [`lock_ttl`](crate::Builder::lock_ttl) of this producer's settings), and then submits once more what is
    /// not there. A delayed stream waits for the rest of its delay. Clones of this producer keep together, until the
    /// last of them is dropped or [`close`](Self::close)d; those it was cloned from keep nothing.
    ///
    /// # What it costs
    /// Each kept stream takes its JSON, its name once more, and about 400 bytes; there is no limit in bytes, so choose
    /// `max` by the size of the infos. What Redis has not been able to answer for is kept until it has, beyond `duration` too,
    /// but never beyond `max`. Looking takes at most 2 % of Redis's time, and is less frequent where that would be more.
    ///
    /// # What may run twice
    /// - A stream that was finished after the last look before a loss.
    /// - Parallel submits are known by their ids: one that was re-queued, or that was delayed and became due, has another
    ///   and counts as finished; from then on its worker keeps it. One to which that happened since the last look is
    ///   submitted again though it may be there.
    /// - A coalesced submit that was noted as wanted once more while the stream was held, and whose run no look has seen wait.
    ///
    /// Not kept are submits that failed, [`MaybeSubmitted`](crate::error::SubmitError::MaybeSubmitted) ones included, and those
    /// whose future was dropped.
    ///
    /// # Errors
    /// A setting out of its bounds; Redis did not answer, or this login may not use what is needed
    /// ([`Role::Producer`](crate::Role::Producer): `GET`, `SET`). Then nothing is kept, and no task runs.
    ///
    /// # Cancel safety
    /// Dropping the future keeps nothing and starts nothing.
    pub async fn retain(mut self, duration: Duration, max: usize) -> Result<Self, ConnectError> {
        within("retain.duration", duration, SHORTEST, LONGEST)?;
        range("retain.max", max, 1, MOST)?;
        for store in self.plain.iter() {
            store.load_resubmit().await?;
        }
        // Before anything that it is to keep is sent: a loss between a submit and the first look would not be seen.
        let looks = self.plain.iter().map(|store| store.look_for(true, &[]));
        let identities = try_join_all(looks).await?.into_iter().map(|look| look.identity);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                shelf: Shelf::new(identities, duration, max),
                shown: 0,
            }),
            stores: Arc::clone(&self.plain),
            lock_ttl: self.lock_ttl,
            gauge: self.metrics.kept_streams(),
            metrics: self.metrics.clone(),
        });
        let network = self.plain.first().map(|store| store.line.network().clone());
        self.retained = Some(Arc::new(Retained::start(shared, network)));
        Ok(self)
    }

    /// How many streams this producer and its clones [keep](Self::retain) at the moment: those that were neither seen to be
    /// finished nor given up since. Zero where nothing is kept.
    ///
    /// What is kept is gone with the process. One that can wait before it ends until this is zero has seen all it submitted
    /// finished.
    #[must_use]
    pub fn kept(&self) -> usize {
        let kept = |retained: &Arc<Retained>| retained.shared.with(|shelf| shelf.len());
        self.retained.as_ref().map_or(0, kept)
    }
}

/// What a producer and its clones keep, and the task that looks for it.
pub(super) struct Retained {
    shared: Arc<Shared>,
    task: TaskTracker,
    stop: CancellationToken,
    _stop: DropGuard,
}

impl fmt::Debug for Retained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retained").finish_non_exhaustive()
    }
}

impl Retained {
    fn start(shared: Arc<Shared>, network: Option<Network>) -> Self {
        let stop = CancellationToken::new();
        let task = TaskTracker::new();
        let (stopped, watched) = (stop.clone(), Arc::clone(&shared));
        task.spawn(async move {
            // A client that is shut down ends the network under its producers.
            let closed = async {
                match &network {
                    Some(network) => network.closed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stopped.cancelled() => {}
                () = closed => {}
                () = watched.watch_all() => {}
            }
        });
        task.close();
        Self {
            shared,
            task,
            _stop: stop.clone().drop_guard(),
            stop,
        }
    }

    /// Ends the task, and waits for that.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }

    /// To be called before a submit is sent: what is accepted by one store may be looked for in the next.
    pub(super) fn before(&self, partition: u16, submission: &Submission) -> Keeping<'_> {
        let partition = usize::from(partition);
        Keeping {
            shared: &self.shared,
            partition,
            era: self.shared.with(|shelf| shelf.era(partition)),
            name: submission.coalesce.as_deref().map(Arc::from),
            input: Arc::from(submission.input.as_str()),
            when: submission.when,
            trace: submission.trace,
        }
    }
}

/// A submit that is under way.
pub(super) struct Keeping<'a> {
    shared: &'a Shared,
    partition: usize,
    era: u64,
    name: Option<Arc<str>>,
    input: Arc<str>,
    when: When,
    trace: Option<TraceContext>,
}

impl Keeping<'_> {
    pub(super) fn accepted(self, accepted: Accepted) {
        // The delay began at the latest now; a re-submit is never early.
        let now = Moment::now();
        let kept = Kept {
            reference: accepted.submitted.reference(),
            answer: Answer::of(accepted),
            name: self.name,
            digest: Arc::from(digest_of(&self.input)),
            input: self.input,
            due: Due::of(self.when, now),
            trace: self.trace,
            accepted: now,
            era: self.era,
        };
        let dropped = self.shared.with(|shelf| shelf.keep(self.partition, kept));
        if dropped > 0 {
            self.shared.metrics.kept_dropped(dropped);
        }
    }
}

struct Shared {
    /// Never locked across an await.
    state: Mutex<State>,
    stores: Arc<[Store]>,
    lock_ttl: Duration,
    metrics: Metrics,
    gauge: Gauge,
}

struct State {
    shelf: Shelf,
    /// What the gauge has been told.
    shown: usize,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.gauge.decrement(state.shown as f64);
    }
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Shelf) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut state.shelf);
        let kept = state.shelf.len();
        if kept != state.shown {
            self.gauge.increment(kept as f64 - state.shown as f64);
            state.shown = kept;
        }
        done
    }
}

fn asked(kept: &Kept) -> Asked<'_> {
    Asked {
        reference: kept.reference,
        name: kept.name.as_deref(),
        digest: &kept.digest,
    }
}
