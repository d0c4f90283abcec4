//! One sampler, however many watch.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use futures_util::StreamExt as _;
use serde_json::Value;
use streamherd_dashboard::{Dashboard, Sampler, SamplerOptions};
use streamherd_testkit::{RawClient, Server, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use crate::support::{Herd, INTERVAL, SOON, admin, fits_overview, quick, request};

/// A stream of events that is open.
pub(crate) struct Events {
    chunks: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    pub(crate) async fn open(herd: &Herd) -> Self {
        let response = open(herd).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self {
            chunks: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next overview of a look that succeeded: on a busy machine one may fail, and its event repeats when the last
    /// one was that didn't.
    pub(crate) async fn next_seen(&mut self) -> Value {
        loop {
            let overview = self.next().await.unwrap();
            if overview["error"].is_null() {
                return overview;
            }
        }
    }

    /// The next overview; [`None`] at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event.starts_with(':') {
                    continue;
                }
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                };
                assert_eq!((field("event"), field("retry")), (Some("overview"), Some("2000")));
                let overview = serde_json::from_str(field("data").unwrap()).unwrap();
                fits_overview(&overview);
                return Some(overview);
            }
            let chunk = tokio::time::timeout(SOON, self.chunks.next())
                .await
                .expect("an event comes")?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }
}

async fn open(herd: &Herd) -> Response {
    let asked = request(Method::GET, "/api/v1/events", &[("host", "localhost")], Body::empty());
    herd.router.clone().oneshot(asked).await.unwrap()
}

/// How often scripts were run on the server.
pub(crate) fn scripts(redis: &mut RawClient) -> u64 {
    let stats = redis.cmd("INFO commandstats").text();
    let calls = |line: &str| line.split_once("calls=")?.1.split_once(',')?.0.parse::<u64>().ok();
    let scripts = stats.lines().filter(|line| line.starts_with("cmdstat_eval"));
    scripts.filter_map(calls).sum()
}

#[tokio::test]
async fn an_event_comes_at_once_and_then_with_each_look() {
    let herd = Herd::start().await;
    let mut events = Events::open(&herd).await;
    let first = events.next_seen().await;
    assert_ne!(first["at_ms"], 0, "the first look is waited for");
    let mut last = first["at_ms"].as_u64().unwrap();
    for _ in 0..3 {
        let next = events.next_seen().await["at_ms"].as_u64().unwrap();
        assert!(next > last);
        last = next;
    }
    herd.submit(&["a"]).await;
    loop {
        if events.next().await.unwrap()["queue"]["queued"] == 1 {
            break;
        }
    }
}

#[tokio::test]
async fn an_outage_is_an_event_too() {
    let mut herd = Herd::start().await;
    let mut events = Events::open(&herd).await;
    events.next_seen().await;
    herd.server.kill();
    while events.next().await.unwrap()["error"].is_null() {}
}

#[tokio::test]
async fn ten_dashboards_cost_redis_what_one_does() {
    let herd = Herd::start().await;
    let mut redis = herd.redis();
    herd.until("the doctor has looked", |overview| {
        overview["health"]["verdict"] != "unknown"
    })
    .await;
    for viewers in [1, 10] {
        let mut open = Vec::new();
        for _ in 0..viewers {
            let mut events = Events::open(&herd).await;
            events.next().await.unwrap();
            open.push(events);
        }
        let (before, begun) = (scripts(&mut redis), Instant::now());
        for _ in 0..10 {
            for events in &mut open {
                events.next().await.unwrap();
                for path in ["/overview", "/consumers", "/history"] {
                    herd.ok(path).await;
                }
            }
        }
        let (run, looks) = (
            scripts(&mut redis) - before,
            begun.elapsed().as_millis() / INTERVAL.as_millis(),
        );
        // One may fall just before or just after the counting.
        assert!(
            run > 0 && u128::from(run) <= looks + 2,
            "{viewers} viewers: {run} scripts in the time of {looks} looks"
        );
    }
}

#[tokio::test]
async fn ten_who_ask_for_the_same_list_at_once_have_redis_asked_once() {
    let server = Server::start();
    let mut once = SamplerOptions::default();
    once.interval = Duration::from_secs(3_600);
    once.doctor_interval = Duration::from_secs(3_600);
    let dashboard = Dashboard::builder(admin(&server).await).sampler(once);
    let herd = Herd::with(server, dashboard);
    herd.ok("/overview").await;
    // The doctor runs scripts, too; a look after its end tells of it, and its own scripts are over with it.
    let sampler = herd.dashboard.sampler();
    eventually(SOON, "the doctor has looked", || async {
        let mut samples = sampler.subscribe();
        sampler.look_again();
        samples.changed().await.unwrap();
        samples.borrow().health.is_some().then_some(())
    })
    .await;
    // The server knows the script from here on.
    herd.ok("/dead-letters?limit=6").await;
    let mut redis = herd.redis();
    let before = scripts(&mut redis);
    let asked = futures_util::future::join_all((0..10).map(|_| herd.ok("/dead-letters?limit=7"))).await;
    assert_eq!(asked.len(), 10);
    assert_eq!(scripts(&mut redis) - before, 1);
}

#[tokio::test]
async fn a_sampler_ends_with_its_last_handle() {
    let server = Server::start();
    let mut redis = server.client();
    let mut options = SamplerOptions::default();
    options.interval = Duration::from_millis(100);
    let sampler = Sampler::start(admin(&server).await, options);
    let clone = sampler.clone();
    let mut samples = sampler.subscribe();
    drop(sampler);
    for _ in 0..3 {
        samples.changed().await.unwrap();
    }
    assert_eq!(clone.first().await.service, "orders");
    drop(clone);
    tokio::time::timeout(SOON, async { while samples.changed().await.is_ok() {} })
        .await
        .expect("the stream ends");
    // What its client had sent or kept to send can still run until the connections have gone.
    let alone = |redis: &mut RawClient| redis.cmd("CLIENT LIST").text().lines().count() == 1;
    eventually(SOON, "its connections are closed", || {
        let is_so = alone(&mut redis);
        async move { is_so.then_some(()) }
    })
    .await;
    let after = scripts(&mut redis);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(alone(&mut redis), "it has not connected again");
    assert_eq!(scripts(&mut redis), after);
}

#[tokio::test]
async fn as_many_watch_as_may_and_one_who_leaves_makes_room() {
    let herd = Herd::start().await;
    let mut open_ones = Vec::new();
    for _ in 0..256 {
        open_ones.push(Events::open(&herd).await);
    }
    let refused = herd.get("/events").await;
    assert_eq!(
        (refused.status, crate::support::code(&refused)),
        (StatusCode::SERVICE_UNAVAILABLE, "too_many")
    );
    assert_eq!(refused.headers["retry-after"], "1");
    open_ones.pop();
    assert_eq!(open(&herd).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_ends_waits_for_no_watcher() {
    let server = Server::start();
    let dashboard = quick(Dashboard::builder(admin(&server).await)).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let serving = {
        let dashboard = dashboard.clone();
        tokio::spawn(async move { dashboard.serve(listener, async { drop(ended.await) }).await })
    };
    let mut watcher = TcpStream::connect(address).await.unwrap();
    let asked = format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    watcher.write_all(asked.as_bytes()).await.unwrap();
    let mut seen = [0; 512];
    let read = watcher.read(&mut seen).await.unwrap();
    assert!(seen[..read].starts_with(b"HTTP/1.1 200 OK"));
    // One that sends half a request and then nothing.
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HT").await.unwrap();
    drop(end);
    let served = tokio::time::timeout(Duration::from_secs(10), serving).await;
    served
        .expect("it ends within three seconds and a bit")
        .unwrap()
        .unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(SOON, watcher.read_to_end(&mut rest))
        .await
        .expect("the stream ends")
        .unwrap();
}

#[tokio::test]
async fn a_look_that_is_asked_for_does_not_wait_for_its_time() {
    let server = Server::start();
    let mut options = SamplerOptions::default();
    options.interval = Duration::from_secs(3_600);
    let sampler = Sampler::start(admin(&server).await, options);
    let mut samples = sampler.subscribe();
    let first = sampler.first().await;
    assert_eq!(first.status.as_ref().unwrap().delayed, 0);
    server.client().cmd("ZADD {orders:0}:delayed 99999999999999 x").ok();
    sampler.look_again();
    let seen = samples.wait_for(|sample| sample.status.as_ref().is_some_and(|status| status.delayed == 1));
    tokio::time::timeout(SOON, seen).await.unwrap().unwrap();
}
