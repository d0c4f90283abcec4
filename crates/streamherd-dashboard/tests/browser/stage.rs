//! What a browser test runs on: a Redis, workers, and the dashboard on a port.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use serde_json::Value;
use streamherd::{Builder, Client, Lease, Notification, Notifications, Recovery};
use streamherd_dashboard::{Dashboard, SamplerOptions};
use streamherd_testkit::{Proxy, RawClient, Server};
use tokio::net::TcpListener;

use crate::driver::PATIENCE;

pub(crate) const SERVICE: &str = "orders";
pub(crate) const TOKEN: &str = "open-sesame-0123456789";

/// A Redis and a dashboard that looks at it through a proxy.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    pub(crate) dashboard: Dashboard,
    pub(crate) address: SocketAddr,
    /// How long the leases of workers live without a heartbeat.
    lock_ttl: Duration,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::with(Some(TOKEN)).await
    }

    /// Nobody may act.
    pub(crate) async fn read_only() -> Self {
        Self::with(None).await
    }

    async fn with(token: Option<&str>) -> Self {
        // As the doctor would have it: what a test is not about is well.
        let server = Server::builder()
            .persistent()
            .arg("--notify-keyspace-events", "Kx")
            .start();
        let proxy = Proxy::start(&server).await;
        let dashboard = dashboard(&proxy.url(), token).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let served = dashboard.clone();
        tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
        Self {
            server,
            proxy,
            dashboard,
            address,
            lock_ttl: SHORT,
        }
    }

    /// For scenes that wait for no lease's end, and are not to see one however long the machine stands still.
    pub(crate) const fn with_long_leases(mut self) -> Self {
        self.lock_ttl = Duration::from_secs(60);
        self
    }

    /// Where the page is.
    pub(crate) fn url(&self, view: &str) -> String {
        format!("http://{}/#/{view}", self.address)
    }

    /// The same dashboard in a service of its own, below a path.
    pub(crate) async fn mounted_at(&self, path: &str) -> SocketAddr {
        let app = Router::new().nest_service(path, self.dashboard.router());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    pub(crate) fn raw(&self) -> RawClient {
        self.server.client()
    }

    pub(crate) fn dead_letters(&self) -> i64 {
        self.raw().cmd("XLEN {orders:0}:dlq").int()
    }

    /// A worker or producer, not connected yet.
    pub(crate) fn builder(&self, name: &str) -> Builder {
        settings(&self.server.url(), name, self.lock_ttl)
    }

    pub(crate) async fn submit(&self, streams: &[(&str, Value)]) {
        let producer = self
            .builder("producer")
            .connect_producer()
            .await
            .expect("a producer connects");
        for (stream, info) in streams {
            producer.submit(stream, info).await.expect("a submit is accepted");
        }
        producer.close().await;
    }

    /// A worker that takes what there is and settles nothing.
    pub(crate) async fn worker(&self, name: &str) -> Worker {
        Worker::start(self.builder(name)).await
    }

    /// Makes dead letters of these streams, with this error.
    pub(crate) async fn kill(&self, streams: &[&str], error: &str) {
        let all: Vec<_> = streams.iter().map(|stream| (*stream, Value::Null)).collect();
        self.submit(&all).await;
        let mut worker = self.worker("undertaker").await;
        for _ in streams {
            let lease = worker.added().await;
            lease.dead_letter(error).await.expect("a stream is buried");
        }
        worker.client.shutdown(Duration::ZERO).await;
    }
}

/// As tests want it: what takes seconds for people takes a fraction of one.
async fn dashboard(url: &str, token: Option<&str>) -> Dashboard {
    let admin = settings(url, "dashboard", SHORT)
        .connect_admin()
        .await
        .expect("the dashboard connects");
    let mut sampler = SamplerOptions::default();
    sampler.interval = Duration::from_millis(400);
    sampler.doctor_interval = Duration::from_secs(1);
    let builder = Dashboard::builder(admin).sampler(sampler);
    match token {
        Some(token) => builder.admin_token(token).build(),
        None => builder.build(),
    }
}

/// Short enough for tests that wait for a lease's end, long enough for a machine that stands still now and then.
const SHORT: Duration = Duration::from_secs(3);

/// Heartbeats come often, as they tell of progress.
fn settings(url: &str, name: &str, lock_ttl: Duration) -> Builder {
    let recovery = Recovery {
        min_idle: Some(lock_ttl + Duration::from_millis(300)),
        scan_interval: Duration::from_millis(200),
        ..Recovery::default()
    };
    Client::builder(SERVICE)
        .url(url)
        .consumer(name)
        .lock_ttl(lock_ttl)
        .heartbeat(Duration::from_millis(250))
        .command_timeout(Duration::from_secs(3))
        .read_block(Duration::from_secs(1))
        .recovery(recovery)
}

impl Stage {
    /// A dashboard of the same Redis anew, at the same address, whose port the test has kept.
    pub(crate) async fn serve_again(&mut self) {
        self.dashboard = dashboard(&self.proxy.url(), Some(TOKEN)).await;
        let listener = TcpListener::bind(self.address).await.expect("the port is free again");
        let served = self.dashboard.clone();
        tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
    }
}

/// A client that holds what it is given.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) client: Client,
    notifications: Notifications,
}

impl Worker {
    pub(crate) async fn start(builder: Builder) -> Self {
        let (client, notifications) = builder.connect().await.expect("a worker connects");
        Self { client, notifications }
    }

    /// The next stream it is given.
    pub(crate) async fn added(&mut self) -> Lease {
        let next = async {
            loop {
                match self.notifications.recv().await {
                    Some(Notification::StreamAdded(lease)) => return lease,
                    Some(_) => {}
                    None => panic!("the worker has ended"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, next)
            .await
            .expect("a stream is handed out")
    }

    /// Its whole name.
    pub(crate) fn id(&self) -> String {
        self.client.consumer().to_string()
    }
}
