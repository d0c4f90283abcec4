//! Prints all that a client and its libraries say: everything that is logged, at all levels, the debug forms, the errors
//! with their causes, and the metrics.
//!
//! `contract-witness URL [ca=FILE] [cert=FILE key=FILE] [user=NAME] [password=TEXT] [password_file=FILE]` does what can be
//! done there, says `over` and ends. With `wait` it says `waiting` when it has connected, and goes on after a line on stdin.

use std::fmt::Debug;
use std::process::ExitCode;
use std::time::Duration;

use metrics_util::debugging::DebuggingRecorder;
use streamherd::error::ConnectError;
use streamherd::{Builder, Credentials, Tls};
use streamherd_tests::builder;
use tracing_subscriber::filter::LevelFilter;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .init();
    let metrics = DebuggingRecorder::new();
    let snapshots = metrics.snapshotter();
    metrics.install().expect("no other recorder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let args: Vec<String> = std::env::args().skip(1).collect();
    let started = runtime.block_on(run(&args));
    for (key, ..) in snapshots.snapshot().into_vec() {
        show("metric", &key);
    }
    println!("over");
    if started { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn configured(args: &[String]) -> Builder {
    let (url, options) = args.split_first().expect("contract-witness URL [name=value…]");
    let value = |name: &str| {
        options
            .iter()
            .find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    };
    let mut login = Credentials::new();
    if let Some(user) = value("user") {
        login = login.user(user);
    }
    if let Some(password) = value("password") {
        login = login.password(password);
    }
    if let Some(path) = value("password_file") {
        login = login.password_file(path);
    }
    let mut builder = builder(url).partitions(2).credentials(login);
    let mut tls = Tls::new();
    if let Some(path) = value("ca") {
        tls = tls.ca_file(path);
    }
    if let (Some(certificate), Some(key)) = (value("cert"), value("key")) {
        tls = tls.client_certificate(certificate, key);
    }
    if tls != Tls::new() {
        builder = builder.tls(tls);
    }
    builder
}

/// Whether a client started.
async fn run(args: &[String]) -> bool {
    let builder = configured(args);
    show("builder", &builder);
    let (client, mut notifications) = match builder.clone().connect().await {
        Ok(connected) => connected,
        Err(e) => {
            fail("client", &e);
            for other in [
                builder.clone().connect_producer().await.err(),
                builder.connect_admin().await.err(),
            ] {
                fail("other", &other.expect("what a client can't do, the others can't"));
            }
            return false;
        }
    };
    match (builder.clone().connect_producer().await, builder.connect_admin().await) {
        (Ok(producer), Ok(admin)) => {
            show("producer", &producer);
            show("admin", &admin);
            if args.iter().any(|arg| arg == "wait") {
                tracing::info!("waiting");
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).expect("a line");
            }
            show("submitted", &producer.submit("s", "info").await);
            show("status", &admin.status().await);
            show("doctor", &admin.doctor().await);
        }
        (producer, admin) => {
            for e in [producer.err(), admin.err()].into_iter().flatten() {
                fail("other", &e);
            }
        }
    }
    show("client", &client);
    show("health", &client.health());
    show("report", &client.shutdown(Duration::ZERO).await);
    show("notifications", &notifications);
    while let Some(notification) = notifications.recv().await {
        show("notification", &notification);
    }
    true
}

fn show(what: &str, value: &impl Debug) {
    println!("{what}: {value:?} {value:#?}");
}

fn fail(what: &str, error: &ConnectError) {
    println!("{what} failed: {error}");
    show(what, error);
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        println!("caused by: {error} {error:?} {error:#?}");
        cause = error.source();
    }
}
