//! A dashboard on a port of its own.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use crate::Dashboard;

/// How long answers that are under way may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

impl Dashboard {
    /// Answers on this socket until `until` is done, and for up to three seconds longer what was asked by then.
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
        let served = axum::serve(listener, self.router()).with_graceful_shutdown(ending);
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
