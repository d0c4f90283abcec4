//! Submits that leave together: what is submitted while a call is under way goes with the next one. A lone submit waits for
//! nothing, and many at a time share a call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::store::{Accepted, Durability, Store, StoreError, Submission};

/// Streams per call, and bytes of them: about 2 ms of Redis.
const MOST_STREAMS: usize = 200;
const MOST_BYTES: usize = 256 * 1024;

/// Whether a stream is on the queue, and whether it is confirmed to have got as far as it has to.
pub(super) type Posted = Result<(Accepted, Result<bool, StoreError>), StoreError>;

/// The way of one producer's submits to one partition. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Post(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    durability: Durability,
    /// The one that this was made on.
    runtime: Option<Handle>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Letter>,
    /// Somebody is seeing to what waits.
    carried: bool,
}

#[derive(Debug)]
struct Letter {
    submission: Submission,
    since: Instant,
    posted: oneshot::Sender<Posted>,
}

impl Post {
    pub(super) fn new(store: Store, durability: Durability) -> Self {
        Self(Arc::new(Shared {
            store,
            durability,
            runtime: Handle::try_current().ok(),
            queue: Mutex::default(),
        }))
    }

    /// Puts one stream on the queue. Those that are posted one after the other get there in that order.
    ///
    /// # Cancel safety
    /// Dropped before its call has left, it is not sent.
    pub(super) async fn send(&self, submission: Submission) -> Posted {
        let (posted, outcome) = oneshot::channel();
        self.put(Letter {
            submission,
            since: Instant::now(),
            posted,
        });
        outcome.await.unwrap_or_else(|_| Err(StoreError::interrupted("submit")))
    }

    fn put(&self, letter: Letter) {
        let mut queue = self.0.queue();
        queue.waiting.push_back(letter);
        let carried = std::mem::replace(&mut queue.carried, true);
        // A runtime that is shutting down drops what is spawned on it at once, and that takes the queue.
        drop(queue);
        if carried {
            return;
        }
        // A task of its own: a caller that carried the others' along would strand them when it is dropped. On the runtime that
        // the connection is on: a caller's own may stand still while others wait.
        let carrier = Carrier {
            shared: Arc::clone(&self.0),
            finished: false,
        };
        match &self.0.runtime {
            Some(runtime) => drop(runtime.spawn(carrier.carry())),
            None => drop(tokio::spawn(carrier.carry())),
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was too much for one call goes first in the next.
    fn back(&self, letters: impl DoubleEndedIterator<Item = Letter>) {
        let mut queue = self.queue();
        letters.rev().for_each(|letter| queue.waiting.push_front(letter));
    }

    /// What leaves next, if anything waits. What nobody waits for any more stays here; and so does, where calls fail, what has
    /// waited as long as for an answer: with one timeout after the other the last of many would wait for ever.
    fn next(&self, failing: bool) -> Option<Vec<Letter>> {
        let mut queue = self.queue();
        let mut letters: Vec<Letter> = Vec::new();
        let mut bytes = 0;
        while let Some(letter) = queue.waiting.front() {
            bytes += letter.submission.size();
            if letters.len() == MOST_STREAMS || (bytes > MOST_BYTES && !letters.is_empty()) {
                break;
            }
            let patience = failing.then(|| self.store.timeout());
            letters.extend(
                queue
                    .waiting
                    .pop_front()
                    .and_then(|letter| letter.still_wanted(patience)),
            );
        }
        queue.carried = !letters.is_empty();
        queue.carried.then_some(letters)
    }
}

impl Letter {
    fn still_wanted(self, patience: Option<Duration>) -> Option<Self> {
        if self.posted.is_closed() {
            return None;
        }
        if patience.is_some_and(|patience| self.since.elapsed() >= patience) {
            let _ = self.posted.send(Err(StoreError::not_connected("submit")));
            return None;
        }
        Some(self)
    }
}

/// Whoever sees to what waits.
struct Carrier {
    shared: Arc<Shared>,
    finished: bool,
}

impl Carrier {
    async fn carry(mut self) {
        let mut failing = false;
        while let Some(letters) = self.shared.next(failing) {
            let (streams, mut posted): (Vec<_>, Vec<_>) = letters
                .into_iter()
                .map(|letter| (letter.submission, (letter.posted, letter.since)))
                .unzip();
            let sent = self.shared.store.submit_durably(&streams, self.shared.durability).await;
            failing = sent.is_err();
            let outcomes: Vec<Posted> = match sent {
                Ok((accepted, confirmed)) => accepted
                    .into_iter()
                    .map(|one| Ok((one?, confirmed.as_ref().copied().map_err(StoreError::again))))
                    .collect(),
                Err(e) => streams.iter().map(|_| Err(e.again())).collect(),
            };
            let later = posted.split_off(outcomes.len());
            let unsent = streams.into_iter().skip(outcomes.len()).zip(later);
            self.shared.back(unsent.map(|(submission, (posted, since))| Letter {
                submission,
                since,
                posted,
            }));
            for ((posted, _), outcome) in posted.into_iter().zip(outcomes) {
                let _ = posted.send(outcome);
            }
        }
        self.finished = true;
    }
}

impl Drop for Carrier {
    /// Dropped half-way, with its runtime, it says so to everybody who waits, and leaves the place to the next.
    fn drop(&mut self) {
        if !self.finished {
            *self.shared.queue() = Queue::default();
        }
    }
}
