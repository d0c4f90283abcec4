//! What a server answers: from a socket, through the client library, into every call of the store.

mod calls;
mod real;
mod wire;

use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bolero::check;
use serde_json::{Value, json};

use self::real::real_replies;
use self::wire::{serve, wire};
use super::shape::Spoilt;
use crate::Admin;
use crate::id::ConsumerId;
use crate::keys::{Keys, Service};
use crate::store::{Access, Endpoint, Lines, Network, Store, StoreError};

/// No call has to wait for anything but its answer.
const SOON: Duration = Duration::from_secs(5);

const WORDS: &[&str] = &[
    "ok",
    "epoch",
    "quiet",
    "paused",
    "gate",
    "nogroup",
    "again",
    "gone",
    "lost",
    "kept",
    "error",
    "dead",
    "later",
    "changed",
    "rejected",
    "5-1",
    "front:5-1",
    "delayed:5-1",
    "(5-1",
    "",
    "name",
    "pending",
    "idle",
    "{s:0}:front",
    "\u{fffd}",
];

#[test]
fn what_a_real_server_answers_is_understood() {
    let client = Hostile::start();
    for (number, said) in real_replies().into_iter().enumerate() {
        let (call, reply) = (said[0].as_str().unwrap(), &said[1]);
        let heard = client.call(call, reply);
        assert!(heard.is_ok(), "{number}: {call} {reply}: {heard:?}");
    }
}

#[test]
fn any_answer_is_a_value_or_an_error_and_never_the_end() {
    let client = AssertUnwindSafe(Hostile::start());
    // The corpus is what was answered once, as JSON: the name of the call and the reply.
    check!(name = "reply").with_iterations(1_000).for_each(|text| {
        let client = &client;
        if let Ok(said) = serde_json::from_slice::<Value>(text) {
            client.hears(&said);
        }
    });
}

#[test]
fn what_looks_like_an_answer_is_a_value_or_an_error_and_never_the_end() {
    let client = AssertUnwindSafe(Hostile::start());
    let spoilt = Spoilt {
        of: real_replies(),
        words: WORDS,
    };
    check!(name = "reply_shaped")
        .with_iterations(8_000)
        .with_shrink_time(Duration::from_secs(5))
        .with_generator(spoilt)
        .for_each(|said| {
            let client = &client;
            client.hears(said);
        });
}

/// Clients of a server that answers everything with whatever it is told to.
struct Hostile {
    answer: Arc<Mutex<Vec<u8>>>,
    runtime: tokio::runtime::Runtime,
    store: Store,
    admin: Admin,
}

impl Hostile {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let answer = Arc::new(Mutex::new(wire(&json!(["ok", 2]))));
        let said = Arc::clone(&answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let said = Arc::clone(&said);
                std::thread::spawn(move || serve(stream, &said));
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let url = format!("redis://127.0.0.1:{port}");
        let (store, admin) = runtime.block_on(async {
            let admin = crate::Client::builder("s").url(&url).command_timeout(SOON);
            let admin = admin.connect_admin().await.expect("it answers as a server does");
            let endpoint = Endpoint::from_url(&url, Access::default()).expect("a URL").within(SOON);
            let keys = [Arc::new(Keys::new(&Service::parse("s").expect("a name"), 0))];
            let network = Network::find(endpoint, &keys).await.expect("it is where it is");
            let mut stores = Lines::new(&network, SOON).stores(&keys, &ConsumerId::new("w"), SOON);
            (stores.remove(0), admin)
        });
        Self {
            answer,
            runtime,
            store,
            admin,
        }
    }

    fn hears(&self, said: &Value) {
        let Some((call, reply)) = said[0].as_str().zip(said.get(1)) else {
            return;
        };
        if let Err(e) = self.call(call, reply) {
            // It has answered, and the connection is good for the next call.
            assert!(!e.is_timeout() && !e.is_disconnected(), "{call} {reply}: {e:?}");
            let told = e.to_string();
            assert!(told.len() <= reply.to_string().len() + 300, "{told}");
        }
    }

    fn call(&self, call: &str, reply: &Value) -> Result<(), StoreError> {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = wire(reply);
        let start = Instant::now();
        let heard = self
            .runtime
            // With room for every call it is large.
            .block_on(async { tokio::time::timeout(SOON, Box::pin(self.asks(call))).await });
        let heard = heard.unwrap_or_else(|_| panic!("{call} does not end: {reply}"));
        assert!(start.elapsed() < SOON, "{call}: {reply}");
        heard
    }
}
