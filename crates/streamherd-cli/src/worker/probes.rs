//! `--probes`: what an orchestrator asks a worker, and Prometheus.

use std::net::SocketAddr;

use streamherd::Client;
use streamherd_probes::metrics_exporter_prometheus::PrometheusHandle;
use streamherd_probes::{Probes, recorder};
use tokio::net::TcpListener;

use crate::failure::Failure;
use crate::output;

/// Probes of a client that has yet to connect: who asks meanwhile waits.
pub(super) struct Pending {
    listener: TcpListener,
    metrics: PrometheusHandle,
}

/// Takes the address, so that one which can't be had is told before anything is done, and counts from now on.
pub(super) async fn bind(at: SocketAddr) -> Result<Pending, Failure> {
    let failed = |e| Failure::start(format!("--probes {at}: {e}"));
    let listener = TcpListener::bind(at).await.map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    let metrics = recorder().install_recorder().map_err(Failure::start)?;
    output::say(&format!("probes at http://{at}: /livez, /readyz, /metrics"));
    Ok(Pending { listener, metrics })
}

impl Pending {
    /// Answers from now on, until the process ends.
    pub(super) fn answer_for(self, client: Client) {
        let probes = Probes::of(client).metrics(self.metrics);
        tokio::spawn(async move {
            if let Err(e) = probes.serve(self.listener).await {
                tracing::error!(error = %e, "probes are answered no more");
            }
        });
    }
}
