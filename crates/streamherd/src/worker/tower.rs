//! Services of the tower crates as handlers.

use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tower_service::Service;

use super::handler::with_sources;
use super::{BoxError, Handler, Job, Outcome, RunError, Worker, WorkerReport};

impl Worker {
    /// [`run`](Self::run) with a [`tower::Service`](Service) as the handler: timeouts, concurrency and rate limits are
    /// layers then. Available with the feature `tower` only.
    ///
    /// Each call is made on a clone of its own, once that clone is ready. A stream that waits for its service to be ready
    /// keeps its place among the handlers that run and its lease, and [`max_hold`](Self::max_hold) begins to count when
    /// the wait is over. Clones must share their limits, as those of `ConcurrencyLimit` do; `RateLimit` can't be cloned,
    /// so put it under a `Buffer`.
    ///
    /// A service that fails to become ready has not seen the stream: it is handed back after a second, counting nothing.
    /// An error of a call counts as a failure, also `Overloaded` of a `LoadShed`: map that to [`Outcome::Release`] to
    /// shed to other workers, or leave `LoadShed` out to have streams wait here.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    ///
    /// # Panics
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use streamherd::{BoxError, Client, Job, Worker};
    /// use tower::{ServiceBuilder, service_fn};
    ///
    /// # async fn example() -> Result<(), BoxError> {
    /// let (client, notifications) = Client::builder("orders").connect().await?;
    /// let service = ServiceBuilder::new()
    ///     .concurrency_limit(4)
    ///     .timeout(Duration::from_secs(30))
    ///     .service(service_fn(|job: Job| async move {
    ///         println!("{}", job.stream());
    ///         Ok::<(), BoxError>(())
    ///     }));
    /// Worker::new(client, notifications).run_service(service).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run_service<S>(self, service: S) -> Result<WorkerReport, RunError>
    where
        S: Service<Job> + Clone + Send + 'static,
        S::Response: Into<Outcome>,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        self.run(Served(Mutex::new(service))).await
    }
}

/// Clones the service for each call. Behind a lock, as services need not be shareable between threads.
struct Served<S>(Mutex<S>);

impl<S> Handler for Served<S>
where
    S: Service<Job> + Clone + Send + 'static,
    S::Response: Into<Outcome>,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    async fn handle(&self, job: Job) -> Result<Outcome, BoxError> {
        // A clone that was ready must be called or dropped: one that others had made ready would take their permit.
        let mut service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        job.stop_clock();
        if let Err(e) = poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into) {
            tracing::warn!(
                error = with_sources(&*e),
                "the service is not ready, and a stream goes back"
            );
            tokio::select! {
                () = tokio::time::sleep(NOT_READY) => {}
                () = job.stop().cancelled() => {}
            }
            return Ok(Outcome::Release);
        }
        job.start_clock();
        service.call(job).await.map(Into::into).map_err(Into::into)
    }
}

/// So that a service that is broken for good does not have streams go round and round.
const NOT_READY: Duration = Duration::from_secs(1);
