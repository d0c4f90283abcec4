//! A dashboard on a port of its own.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use crate::{Dashboard, probes};

/// How long answers that are under way may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

impl Dashboard {
    /// `/livez`, `/readyz` (200 while Redis answers) and `/metrics`, for who has none of their own. They answer under any
    /// host's name, as orchestrators and Prometheus use many.
    ///
    /// | metric | labels beside `service` | is |
    /// |---|---|---|
    /// | `streamherd_queue_entries`, `streamherd_dead_letters` | `partition`; `state` | as workers tell them, too: take `max` over all |
    /// | `streamherd_service_oldest_seconds` | `state`: queued, requeued | for how long the first entry has waited |
    /// | `streamherd_service_consumers` | `state`: alive, silent, unregistered | consumers |
    /// | `streamherd_service_capacity`, `…_held`, `…_slots_free` | | streams that the workers alive may hold, hold, and could take |
    /// | `streamherd_service_paused` | | 1 while the whole service is paused |
    /// | `streamherd_sample_age_seconds` | | how old all of it is; from 30 s on the others are absent |
    ///
    /// They are there also while no worker runs, so that a fleet can be scaled from nothing.
    pub fn probes(&self) -> Router {
        probes::router(&self.state)
    }

    /// Answers with the [router](Self::router) and the [probes](Self::probes) on this socket until `until` is done, and for up to three seconds longer what was asked by then.
    ///
    /// Speaks HTTP without TLS; beyond loopback put it behind a proxy that does, as the token would be readable on the way.
    ///
    /// # Errors
    /// The socket can't be listened on any more.
    ///
    /// # Cancel safety
    /// Dropping the future ends the listening; connections go on until they are idle.
    pub async fn serve(
        &self,
        listener: TcpListener,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let end = self.ended();
        let dashboard = self.clone();
        let ending = async move {
            until.await;
            dashboard.end_events();
        };
        // Events are small, and meant to be seen at once.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        let served = axum::serve(listener, self.router().merge(self.probes())).with_graceful_shutdown(ending);
        let late = async {
            end.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            served = served => served,
            () = late => Ok(()),
        }
    }
}
