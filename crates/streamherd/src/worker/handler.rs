//! What works on streams, and what it may say about them.

use std::error::Error as StdError;
use std::time::Duration;

use super::Job;

/// Any error of a handler, as a box.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Works on the streams that a [`Worker`](crate::Worker) is given.
///
/// Every `async fn(Job) -> Result<T, E>` is one, and every closure that returns such a future, where `T` is `()` or an
/// [`Outcome`] and `E` any error type, a `String` or a `&str`. Implement it for a type of your own where the handler has
/// state, or is to be named.
///
/// The handler never settles the lease: what it returns does. (Panics can be caught only where they unwind, which is the
/// default of cargo's profiles.)
///
/// | the handler | the stream |
/// |---|---|
/// | returns `Ok(())` or [`Outcome::Done`] | leaves the queue for good |
/// | returns `Err(e)` | is tried again after the [policy's](crate::RetryPolicy) backoff; a failure is counted |
/// | panics | the same, with the panic's message as the error |
/// | returns another [`Outcome`] | as that says |
/// | returns `Err(e)` after a shutdown told it to [stop](Job::stop), or is dropped then | goes to another worker; nothing is counted |
/// | loses its lease | belongs to somebody else; what it returns changes nothing |
///
/// # Examples
///
/// ```no_run
/// use streamherd::{BoxError, Client, Handler, Job, Outcome, Worker};
///
/// struct Mailer {
///     sender: String,
/// }
///
/// impl Handler for Mailer {
///     async fn handle(&self, job: Job) -> Result<Outcome, BoxError> {
///         let Ok(address) = job.info::<String>() else {
///             return Ok(Outcome::dead_letter("the info is not an address"));
///         };
///         job.ensure_valid()?;
///         println!("from {} to {address}", self.sender);
///         Ok(Outcome::Done)
///     }
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (client, notifications) = Client::builder("mails").connect().await?;
/// let mailer = Mailer { sender: "me@example.com".to_owned() };
/// Worker::new(client, notifications).run(mailer).await?;
/// # Ok(())
/// # }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Works on one stream. Called once per attempt, on a task of its own.
    ///
    /// # Errors
    /// Whatever kept the work from being finished. Its text, with those of its sources, goes to the log and into the dead
    /// letter.
    ///
    /// # Cancel safety
    /// The future is dropped at an `.await` if it has not ended [`Worker::grace`](crate::Worker::grace) after
    /// [`Job::stop`] fired. A handler that can't be dropped half-way does that part in a task of its own.
    fn handle(&self, job: Job) -> impl Future<Output = Result<Outcome, BoxError>> + Send;
}

impl<F, Fut, T, E> Handler for F
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send,
    T: Into<Outcome>,
    E: Into<BoxError>,
{
    fn handle(&self, job: Job) -> impl Future<Output = Result<Outcome, BoxError>> + Send {
        let work = self(job);
        async move { work.await.map(Into::into).map_err(Into::into) }
    }
}

/// What is to become of a stream that a handler has worked on.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use streamherd::{BoxError, Job, Outcome};
///
/// async fn handle(job: Job) -> Result<Outcome, BoxError> {
///     Ok(match job.info::<u32>() {
///         Err(e) => Outcome::dead_letter(format!("not a number: {e}")),
///         Ok(0) => Outcome::retry_after(Duration::from_secs(60), "not ready yet"),
///         Ok(_) => Outcome::Done,
///     })
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Outcome {
    /// The work is finished: the stream leaves the queue for good. `()` stands for it.
    #[default]
    Done,
    /// The attempt failed: the stream is tried again, and a failure counted; at `recovery.max_failures` it goes to the
    /// dead-letter stream instead.
    Retry {
        /// Not before this time has passed; [`None`] = the backoff of the [policy](crate::RetryPolicy).
        after: Option<Duration>,
        /// What went wrong; kept with the dead letter if this was the last attempt. Cut at 4 KiB.
        because: String,
    },
    /// The stream can't be worked on: it goes to the dead-letter stream as
    /// [`Rejected`](crate::DeadLetterReason::Rejected).
    DeadLetter {
        /// Why; kept with the dead letter. Cut at 4 KiB.
        reason: String,
    },
    /// The stream goes back to the front of the queue unfinished, counting nothing. This worker may be given it again at
    /// once.
    Release,
}

impl Outcome {
    /// [`Retry`](Self::Retry) after the policy's backoff.
    #[must_use]
    pub fn retry(because: impl Into<String>) -> Self {
        Self::Retry {
            after: None,
            because: because.into(),
        }
    }

    /// [`Retry`](Self::Retry) when this time has passed.
    #[must_use]
    pub fn retry_after(delay: Duration, because: impl Into<String>) -> Self {
        Self::Retry {
            after: Some(delay),
            because: because.into(),
        }
    }

    /// [`DeadLetter`](Self::DeadLetter) for this reason.
    #[must_use]
    pub fn dead_letter(reason: impl Into<String>) -> Self {
        Self::DeadLetter { reason: reason.into() }
    }
}

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self::Done
    }
}

/// An error's text with those of its sources, as far as it does not repeat them itself.
pub(super) fn with_sources(error: &(dyn StdError + 'static)) -> String {
    // An error may name itself as its source.
    const DEEPEST: usize = 32;
    let mut text = error.to_string();
    let mut source = error.source();
    for _ in 0..DEEPEST {
        let Some(error) = source else { break };
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the order was not written")]
    struct Outer(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("all in one: {0}")]
    struct Repeating(#[source] std::io::Error);

    fn full() -> std::io::Error {
        std::io::Error::other("disk full")
    }

    #[test]
    fn an_error_tells_its_sources_once() {
        assert_eq!(with_sources(&Outer(full())), "the order was not written: disk full");
        assert_eq!(with_sources(&Repeating(full())), "all in one: disk full");
    }

    #[test]
    fn closures_functions_and_types_are_handlers() {
        struct Named;
        impl Handler for Named {
            async fn handle(&self, _: Job) -> Result<Outcome, BoxError> {
                Err("no".into())
            }
        }
        async fn function(job: Job) -> Result<(), std::io::Error> {
            println!("{}", job.stream());
            Ok(())
        }
        const fn takes(_: &impl Handler) {}
        takes(&Named);
        takes(&function);
        takes(&|job: Job| async move {
            job.ensure_valid()?;
            Ok::<_, BoxError>(Outcome::Release)
        });
        takes(&|_: Job| async { Err::<(), _>("a text is an error") });
        takes(&|_: Job| async { Err::<Outcome, _>(String::from("so is a String")) });
    }
}
