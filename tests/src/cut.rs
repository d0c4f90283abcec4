//! Futures that are dropped before they are ready, at every place where that can happen.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use streamherd_testkit::{Armed, Command, Fault, Matcher};
use tokio::sync::oneshot;

use crate::{Proxied, SOON};

/// Where a future is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// After so many polls, as it begins to wait.
    Waiting(usize),
    /// After so many polls, as it would go on: what it waited for has come, and nobody takes it.
    Woken(usize),
    /// As the server is about to be sent the so-manieth of its commands, which it is sent all the same, later.
    Sent(usize),
    /// As the server has carried out the so-manieth of its commands, and the reply has not come yet.
    CarriedOut(usize),
}

/// Polls a future at most so many times, at its own wake-ups, and drops it then. [`None`] if it was not ready.
pub async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    polled(polls, false, future).await
}

/// The same, but drops it only as it is woken for one poll more.
pub async fn dropped_as_woken<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    polled(polls, true, future).await
}

async fn polled<F: Future>(polls: usize, wait: bool, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut done = 0;
    poll_fn(move |context| {
        if done == polls {
            return Poll::Ready(None);
        }
        done += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if done == polls && !wait => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What an operation's commands go through, and which they are.
type Commands<'a> = (&'a Proxied, fn(&Command) -> bool);

/// One place, and what it takes to drop a future there.
#[derive(Debug)]
pub struct Cut<'a> {
    operation: &'a str,
    place: Place,
    commands: Option<Commands<'a>>,
    finished: Cell<bool>,
}

impl Cut<'_> {
    /// Whether the future is dropped before it is ever polled.
    #[must_use]
    pub fn is_before_all(&self) -> bool {
        self.place == Place::Waiting(0)
    }

    /// Whether the server has carried out the first command, but its reply has not come.
    #[must_use]
    pub fn is_carried_out(&self) -> bool {
        self.place == Place::CarriedOut(1)
    }

    /// A name of its own.
    #[must_use]
    pub fn name(&self, prefix: &str) -> String {
        let (kind, nth) = match self.place {
            Place::Waiting(nth) => ("waiting", nth),
            Place::Woken(nth) => ("woken", nth),
            Place::Sent(nth) => ("sent", nth),
            Place::CarriedOut(nth) => ("carried-out", nth),
        };
        format!("{prefix}-{kind}-{nth}")
    }

    /// Drops the future at the place; its output, if it was ready before.
    ///
    /// # Panics
    /// If it neither is ready nor gets there.
    pub async fn drop<F: Future>(&self, future: F) -> Option<F::Output> {
        let future = Box::pin(future);
        let dropped = async {
            match self.place {
                Place::Waiting(polls) => dropped_after(polls, future).await,
                Place::Woken(polls) => dropped_as_woken(polls, future).await,
                Place::Sent(nth) => self.dropped_at(nth, Fault::HoldUntil, future).await,
                Place::CarriedOut(nth) => self.dropped_at(nth, Fault::HoldReplyUntil, future).await,
            }
        };
        let Ok(output) = tokio::time::timeout(SOON, dropped).await else {
            panic!("{} is stuck", self.operation);
        };
        self.finished.set(output.is_some());
        output
    }

    async fn dropped_at<F: Future>(
        &self,
        nth: usize,
        fault: fn(oneshot::Receiver<()>) -> Fault,
        future: F,
    ) -> Option<F::Output> {
        let (release, held) = oneshot::channel();
        // What comes after the future is not of it.
        let armed = Arc::new(AtomicBool::new(true));
        let (proxy, of) = self.commands.expect("a place that is a command is one of these");
        let is_armed = Arc::clone(&armed);
        let matcher = Matcher::custom(move |command| is_armed.load(Ordering::SeqCst) && of(command));
        let fault = proxy.on(matcher, nth, fault(held));
        let output = tokio::select! {
            biased;
            output = future => Some(output),
            () = fired(&fault) => None,
        };
        armed.store(false, Ordering::SeqCst);
        drop(release);
        output
    }
}

/// Looks more often than [`Armed::wait_fired`], as there are hundreds to be waited for.
async fn fired(fault: &Armed) {
    while !fault.fired() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Says where it was, as a test fails.
impl Drop for Cut<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("---- {} was dropped at {:?} ----", self.operation, self.place);
        }
    }
}

/// More places than any operation has.
const MOST: usize = 2_000;

/// Drops an operation after each number of polls in turn, until it is ready before that. `attempt` sets the scene, has the
/// operation dropped, and checks what is left.
///
/// # Panics
/// If the operation never gets to its end, or is ready at its first poll.
pub async fn drop_at_each_poll(operation: &str, attempt: &mut impl AsyncFnMut(&Cut<'_>)) {
    at_each(operation, Place::Waiting, None, 0..MOST, attempt).await;
    at_each(operation, Place::Woken, None, 1..MOST, attempt).await;
}

/// Polls of an operation that are told apart in any case.
const FIRST: usize = 4;

/// Drops an operation at each place in turn, until it is ready before it gets there: after each number of polls, and at
/// each command that it sends. `of` says which of the commands that go through the proxy are the operation's.
///
/// # Panics
/// If the operation never gets to its end, is ready at its first poll, or sends nothing.
pub async fn drop_everywhere(
    operation: &str,
    proxy: &Proxied,
    of: fn(&Command) -> bool,
    attempt: impl AsyncFnMut(&Cut<'_>),
) {
    drop_in_strides(operation, proxy, of, 1, attempt).await;
}

/// The same, but only at every `stride`th of the commands, beginning with the first, and of the polls beyond the first few.
///
/// # Panics
/// As [`drop_everywhere`].
pub async fn drop_in_strides(
    operation: &str,
    proxy: &Proxied,
    of: fn(&Command) -> bool,
    stride: usize,
    mut attempt: impl AsyncFnMut(&Cut<'_>),
) {
    let polls = |first| (first..FIRST).chain((FIRST..MOST).step_by(stride));
    at_each(operation, Place::Waiting, None, polls(0), &mut attempt).await;
    at_each(operation, Place::Woken, None, polls(1), &mut attempt).await;
    let commands = || (1..MOST).step_by(stride);
    at_each(operation, Place::Sent, Some((proxy, of)), commands(), &mut attempt).await;
    at_each(
        operation,
        Place::CarriedOut,
        Some((proxy, of)),
        commands(),
        &mut attempt,
    )
    .await;
}

async fn at_each(
    operation: &str,
    place: fn(usize) -> Place,
    commands: Option<Commands<'_>>,
    places: impl Iterator<Item = usize>,
    attempt: &mut impl AsyncFnMut(&Cut<'_>),
) {
    for (tried, nth) in places.enumerate() {
        let cut = Cut {
            operation,
            place: place(nth),
            commands,
            finished: Cell::new(false),
        };
        // A task of many layers is more than a test's stack takes where nothing is optimised.
        Box::pin(attempt(&cut)).await;
        if cut.finished.get() {
            assert!(tried > 0, "{operation} is ready at once");
            return;
        }
    }
    panic!("{operation} has no end");
}
