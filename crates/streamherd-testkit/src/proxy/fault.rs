use std::fmt;
use std::future::{self, Future};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::eventually::poll_until;
use crate::proxy::command::{Command, Matcher};

pub(super) type Hook = Box<dyn FnOnce() + Send>;

/// What happens to the request that a rule of the [`Proxy`](crate::Proxy) picks.
///
/// Whatever the fault, replies to requests before it on the same connection are delivered, and after a fault that closes
/// the connection nothing behind it is forwarded. Other connections go on.
pub enum Fault {
    /// Forwards the request, waits for the server's reply, drops the reply and closes the connection: the client cannot
    /// know that the command was executed. Happens even if the client has given up meanwhile.
    SwallowReply,
    /// Does not forward the request and closes the connection: the client cannot know that the command was not executed.
    DropRequest,
    /// Holds the request, and everything behind it on the connection, for so long before it is forwarded. It is forwarded
    /// even if the client has gone meanwhile.
    Delay(Duration),
    /// The same until the test says so, or drops its end.
    HoldUntil(oneshot::Receiver<()>),
    /// Forwards the request, and holds its reply, and everything behind it on the connection, until the test says so or
    /// drops its end. Happens when the reply is there.
    HoldReplyUntil(oneshot::Receiver<()>),
    /// Runs the hook instead of forwarding the request (to kill the worker that sent it, say), then closes the
    /// connection. The hook may block.
    Before(Box<dyn FnOnce() + Send>),
    /// Forwards the request, waits for the server's reply, runs the hook, drops the reply and closes the connection. The
    /// hook may block.
    After(Box<dyn FnOnce() + Send>),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SwallowReply => f.write_str("SwallowReply"),
            Self::DropRequest => f.write_str("DropRequest"),
            Self::Delay(time) => f.debug_tuple("Delay").field(time).finish(),
            Self::HoldUntil(_) => f.write_str("HoldUntil(..)"),
            Self::HoldReplyUntil(_) => f.write_str("HoldReplyUntil(..)"),
            Self::Before(_) => f.write_str("Before(..)"),
            Self::After(_) => f.write_str("After(..)"),
        }
    }
}

/// A fault that waits for its request. Dropping it does not disarm the fault.
#[derive(Debug, Clone)]
pub struct Armed {
    fired: Arc<AtomicBool>,
    description: Arc<str>,
}

impl Armed {
    /// Whether the fault has happened: its hook has returned, its reply is lost, its request dropped, its delay begun.
    #[must_use]
    pub fn fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }

    /// Waits until the fault has happened.
    ///
    /// # Panics
    ///
    /// If it has not within `deadline`.
    #[track_caller]
    pub fn wait_fired(&self, deadline: Duration) -> impl Future<Output = ()> + use<> {
        let armed = self.clone();
        let what = format!("the fault fires ({})", self.description);
        poll_until(Location::caller(), deadline, what, move || {
            future::ready(armed.fired().then_some(()))
        })
    }

    pub(super) fn mark(&self) {
        self.fired.store(true, Ordering::SeqCst);
    }
}

/// The faults that have not happened yet.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    matcher: Matcher,
    left: usize,
    fault: Fault,
    armed: Armed,
}

impl Rules {
    pub(super) fn arm(&mut self, matcher: Matcher, nth: usize, fault: Fault) -> Armed {
        let armed = Armed {
            fired: Arc::default(),
            description: format!("{fault:?} at match {nth} of {}", matcher.description()).into(),
        };
        self.0.push(Rule {
            matcher,
            left: nth,
            fault,
            armed: armed.clone(),
        });
        armed
    }

    /// Counts the command and returns the fault that is due. Of two that are due at once, the later rule waits for its
    /// next match.
    pub(super) fn take(&mut self, command: &Command) -> Option<(Fault, Armed)> {
        let mut due = None;
        for (index, rule) in self.0.iter_mut().enumerate() {
            if rule.matcher.matches(command) {
                rule.left = rule.left.saturating_sub(1);
                if rule.left == 0 && due.is_none() {
                    due = Some(index);
                }
            }
        }
        let rule = self.0.remove(due?);
        Some((rule.fault, rule.armed))
    }
}
