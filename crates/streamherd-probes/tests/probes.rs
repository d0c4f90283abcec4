//! The probes of workers on real servers, asked over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::Value;
use streamherd::{Builder, Client, Notification, Notifications};
use streamherd_probes::{Probes, recorder};
use streamherd_testkit::{Proxy, Server, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_secs(3);

fn builder(url: &str) -> Builder {
    Client::builder("orders")
        .url(url)
        .consumer("w")
        .lock_ttl(TTL)
        .read_block(Duration::from_millis(200))
        .command_timeout(Duration::from_millis(500))
}

/// Of a worker that has to be ready at every look: also at the first after a machine that stood still.
fn patient(url: &str) -> Builder {
    builder(url)
        .lock_ttl(Duration::from_secs(60))
        .heartbeat(Duration::from_millis(250))
        .command_timeout(Duration::from_secs(10))
}

/// A worker, and where its probes are served.
struct Probed {
    client: Client,
    notifications: Notifications,
    at: SocketAddr,
}

impl Probed {
    async fn start(builder: Builder, metrics: Option<PrometheusHandle>) -> Self {
        let (client, notifications) = builder.connect().await.unwrap();
        let mut probes = Probes::of(client.clone());
        if let Some(metrics) = metrics {
            probes = probes.metrics(metrics);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(probes.serve(listener));
        Self {
            client,
            notifications,
            at,
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// Status and body of `/readyz`; whatever it says, the worker is alive.
    async fn ready(&self) -> (u16, Value) {
        let (status, body) = self.get("/livez").await;
        assert_eq!(status, 200, "{body}");
        let (status, body) = self.get("/readyz").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body[0]["ready"], status == 200, "{body}");
        (status, body)
    }

    async fn becomes_ready(&self) -> Value {
        self.answers("it is ready", |status, _| status == 200).await
    }

    /// Unready, for this reason among others.
    async fn becomes_unready(&self, condition: &str) -> Value {
        self.answers("it is not ready", |_, body| {
            let failing = body[0]["failing"].as_array().unwrap();
            failing.iter().any(|failing| failing["condition"] == condition)
        })
        .await
    }

    async fn answers(&self, what: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let wanted = &wanted;
        eventually(SOON, what, || async move {
            let (status, body) = self.ready().await;
            wanted(status, &body).then_some(body)
        })
        .await
    }
}

#[tokio::test]
async fn a_worker_is_ready_when_it_reads_and_beats_and_says_so_without_redis() {
    let server = Server::start();
    let probed = Probed::start(builder(&server.url()), None).await;
    let body = probed.becomes_ready().await;
    assert_eq!(body[0]["consumer"], probed.client.consumer().as_str());
    assert_eq!(body[0]["failing"], serde_json::json!([]));
    let (status, _) = probed.get("/metrics").await;
    assert_eq!(status, 404, "there is no recorder");
}

#[tokio::test]
async fn a_worker_that_waits_for_work_for_longer_than_this_test_is_ready_before_and_after_an_outage() {
    let mut server = Server::builder().persistent().start();
    let patient = builder(&server.url()).read_block(Duration::from_secs(60));
    let probed = Probed::start(patient, None).await;
    probed.becomes_ready().await;
    server.kill();
    probed.becomes_unready("redis").await;
    server.restart();
    probed.becomes_ready().await;
}

#[tokio::test]
async fn while_redis_is_away_a_worker_is_unready_and_lives_and_is_ready_again_after() {
    let mut server = Server::builder().persistent().start();
    let probed = Probed::start(builder(&server.url()), None).await;
    probed.becomes_ready().await;
    server.kill();
    let body = probed.becomes_unready("redis").await;
    assert!(body[0]["failing"][0]["since_ms"].is_u64(), "{body}");
    server.restart();
    probed.becomes_ready().await;
    server.freeze();
    probed.becomes_unready("redis").await;
    probed.becomes_unready("reading").await;
    server.thaw();
    probed.becomes_ready().await;
}

#[tokio::test]
async fn behind_a_network_that_swallows_everything_a_worker_is_unready_and_loses_its_leases_alive() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let mut probed = Probed::start(builder(&proxy.url()), None).await;
    probed.client.producer().submit("s", &()).await.unwrap();
    let Some(Notification::StreamAdded(_lease)) = probed.notifications.recv().await else {
        panic!("a stream comes first");
    };
    probed.becomes_ready().await;
    proxy.swallow(true);
    probed.becomes_unready("redis").await;
    // What is held keeps the heartbeat asking; with nothing held there is nothing to lose.
    probed.becomes_unready("heartbeating").await;
    proxy.swallow(false);
    proxy.sever_all();
    probed.becomes_ready().await;
}

#[tokio::test]
async fn a_worker_without_a_free_slot_stays_ready_for_longer_than_any_read_takes() {
    let server = Server::start();
    let mut probed = Probed::start(patient(&server.url()).max_in_flight(1), None).await;
    let producer = probed.client.producer();
    producer.submit("s", &()).await.unwrap();
    producer.submit("t", &()).await.unwrap();
    let Some(Notification::StreamAdded(lease)) = probed.notifications.recv().await else {
        panic!("a stream comes first");
    };
    probed.becomes_ready().await;
    eventually(SOON, "it has not read for long", || async {
        let (status, body) = probed.ready().await;
        assert_eq!((status, body[0]["free"].as_u64()), (200, Some(0)), "{body}");
        let since = probed.client.health().since_read;
        // Ten times as long as one waits for work.
        since.is_some_and(|since| since > Duration::from_secs(2)).then_some(())
    })
    .await;
    lease.done().await.unwrap();
    let Some(Notification::StreamAdded(_next)) = probed.notifications.recv().await else {
        panic!("the next stream comes");
    };
    assert_eq!(probed.ready().await.0, 200);
}

#[tokio::test]
async fn a_worker_whose_slots_are_all_of_one_partition_is_ready_though_it_never_read_the_other() {
    let server = Server::start();
    let producer = patient(&server.url()).partitions(2).connect_producer().await.unwrap();
    for n in 0..50 {
        producer.submit(&format!("s-{n}"), &()).await.unwrap();
    }
    let mut probed = Probed::start(patient(&server.url()).partitions(2).max_in_flight(1), None).await;
    let Some(Notification::StreamAdded(_lease)) = probed.notifications.recv().await else {
        panic!("a stream comes first");
    };
    assert_eq!(probed.client.health().since_read, None, "of the other partition");
    probed.becomes_ready().await;
}

#[tokio::test]
async fn a_paused_worker_is_ready_and_says_that_it_is_paused() {
    let server = Server::start();
    let probed = Probed::start(patient(&server.url()), None).await;
    probed.becomes_ready().await;
    probed.client.pause().await.unwrap();
    let paused = |status, body: &Value| {
        assert_eq!(status, 200, "{body}");
        body[0]["paused"] == true
    };
    probed.answers("it says so", paused).await;
    let began = std::time::Instant::now();
    probed
        .answers("it stays ready", |status, body| {
            paused(status, body) && began.elapsed() > Duration::from_secs(2)
        })
        .await;
}

#[tokio::test]
async fn a_worker_that_shuts_down_is_unready_at_once_and_dead_when_it_has_ended() {
    let server = Server::start();
    let mut probed = Probed::start(builder(&server.url()), None).await;
    probed.client.producer().submit("s", &()).await.unwrap();
    let Some(Notification::StreamAdded(lease)) = probed.notifications.recv().await else {
        panic!("a stream comes first");
    };
    probed.becomes_ready().await;
    let client = probed.client.clone();
    let ending = tokio::spawn(async move { client.shutdown(SOON).await });
    let body = probed.becomes_unready("shutting_down").await;
    assert_eq!(body[0]["held"], 1, "what is held may be finished: {body}");
    lease.done().await.unwrap();
    ending.await.unwrap();
    let (status, body) = probed.get("/livez").await;
    assert_eq!(status, 503, "{body}");
    let (status, body) = probed.get("/readyz").await;
    assert!(status == 503 && body.contains(r#""condition":"ended""#), "{body}");
}

#[tokio::test]
async fn one_dead_client_of_several_fails_all_and_is_named() {
    let server = Server::start();
    let (orders, _orders) = builder(&server.url()).connect().await.unwrap();
    let (mails, _mails) = Client::builder("mails").url(server.url()).connect().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(Probes::of(orders.clone()).and(mails.clone()).serve(listener));
    let probed = Probed {
        client: orders,
        notifications: _orders,
        at,
    };
    assert_eq!(probed.get("/livez").await.0, 200);
    mails.shutdown(Duration::ZERO).await;
    let (status, body) = probed.get("/livez").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 503, "{body}");
    let told = |n: usize| {
        (
            body[n]["consumer"].as_str().unwrap(),
            body[n]["live"].as_bool().unwrap(),
        )
    };
    assert_eq!(told(0), (probed.client.consumer().as_str(), true));
    assert_eq!(told(1), (mails.consumer().as_str(), false));
}

#[tokio::test]
async fn a_scrape_has_the_series_of_the_worker_in_buckets() {
    // Of this thread, which the whole worker but its heartbeats runs on.
    let recorder = recorder().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = Server::start();
    let mut probed = Probed::start(builder(&server.url()), Some(recorder.handle())).await;
    probed.client.producer().submit("s", &()).await.unwrap();
    let Some(Notification::StreamAdded(lease)) = probed.notifications.recv().await else {
        panic!("a stream comes first");
    };
    lease.done().await.unwrap();
    let wanted = [
        r#"streamherd_submitted_total{service="orders",outcome="new"} 1"#,
        r#"streamherd_settled_total{service="orders",operation="done",outcome="ok"} 1"#,
        r#"streamherd_slots_free{service="orders"} 64"#,
        r#"streamherd_lease_seconds_bucket{service="orders",le="+Inf"} 1"#,
        "# TYPE streamherd_store_seconds histogram",
        "# HELP streamherd_slots_free ",
    ];
    let (probed, wanted) = (&probed, &wanted);
    eventually(SOON, "all is there", || async move {
        let (status, text) = probed.get("/metrics").await;
        assert_eq!(status, 200);
        wanted.iter().all(|line| text.contains(line)).then_some(())
    })
    .await;
}
