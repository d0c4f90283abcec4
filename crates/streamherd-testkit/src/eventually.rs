use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::thread;
use std::time::{Duration, Instant};

const FIRST_STEP: Duration = Duration::from_millis(5);
const LAST_STEP: Duration = Duration::from_millis(20);

/// Polls `probe` until it returns `Some`, and returns what is in it.
///
/// Probes every 5 ms at first and every 20 ms later, and once more when `deadline` has passed. The deadline is real
/// time, also under a paused tokio clock, because the server it waits for runs in real time. A probe that is still
/// pending at the deadline is dropped.
///
/// # Panics
///
/// With `what` and the place of the call, when the deadline passes first. Outside a tokio runtime with time enabled.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// # use streamherd_testkit::{Server, eventually};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let server = Server::start();
/// let mut redis = server.client();
/// redis.cmd("SET lock 1 PX 20").ok();
/// eventually(Duration::from_secs(5), "the lock expires", || {
///     let gone = redis.cmd("GET lock").is_nil();
///     async move { gone.then_some(()) }
/// })
/// .await;
/// # });
/// ```
#[track_caller]
pub fn eventually<T, F, Fut>(deadline: Duration, what: &str, probe: F) -> impl Future<Output = T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    // An async fn cannot be `track_caller`, so the place is taken before the future is made.
    poll_until(Location::caller(), deadline, what, probe)
}

/// [`eventually`] for tests without a runtime: polls `probe` on the calling thread.
///
/// # Panics
///
/// With `what`, when the deadline passes first. A probe that blocks is not interrupted.
#[track_caller]
pub fn eventually_blocking<T>(deadline: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let mut pace = Pace::new(deadline);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        match pace.next() {
            Some(pause) => thread::sleep(pause),
            None => panic!("did not happen within {deadline:?}: {what}"),
        }
    }
}

/// [`eventually`] for a caller that is known already.
pub(crate) async fn poll_until<T, F, Fut>(
    caller: &Location<'_>,
    deadline: Duration,
    what: impl Display,
    mut probe: F,
) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let mut pace = Pace::new(deadline);
    loop {
        let left = pace.left().max(LAST_STEP);
        match tokio::time::timeout(left, probe()).await {
            Ok(Some(found)) => return found,
            Ok(None) => {}
            Err(_) => panic!(
                "did not happen within {deadline:?}: {what} (the last probe did not return; waited for at {caller})"
            ),
        }
        match pace.next() {
            Some(pause) => tokio::time::sleep(pause).await,
            None => {
                panic!("did not happen within {deadline:?}: {what} (waited for at {caller})")
            }
        }
    }
}

/// The pauses between probes: growing, and cut short so that the last probe is at the deadline.
#[derive(Debug)]
pub(crate) struct Pace {
    end: Instant,
    step: Duration,
}

impl Pace {
    pub(crate) fn new(deadline: Duration) -> Self {
        Self::starting_at(deadline, FIRST_STEP)
    }

    pub(crate) fn starting_at(deadline: Duration, step: Duration) -> Self {
        Self {
            end: Instant::now() + deadline,
            step,
        }
    }

    pub(crate) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// The next pause, or `None` when the deadline has passed.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let left = self.left();
        if left.is_zero() {
            return None;
        }
        let pause = self.step.min(left);
        self.step = (self.step * 3 / 2).min(LAST_STEP);
        Some(pause)
    }
}
