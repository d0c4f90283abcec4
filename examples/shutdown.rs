//! # Graceful shutdown, as in Kubernetes
//!
//! **What.** Kubernetes ends a pod by SIGTERM, and by SIGKILL when `terminationGracePeriodSeconds` are over. In between this worker takes
//! no new streams, is not ready any more, lets its handlers finish, tells those that are late to stop, and hands their streams to the
//! others at once. A second SIGTERM ends it on the spot: then the others wait until its locks expire, and nothing is lost either.
//!
//! | after SIGTERM | then | set by |
//! |---|---|---|
//! | at once | `/readyz` answers 503, nothing new is taken | |
//! | 30 s | handlers that still run are told to stop (`Job::stop`) | `DEADLINE` |
//! | 35 s | handlers that still run are dropped; their streams go to the others | `GRACE` |
//! | 50 s at the latest | the process has ended, also if Redis is away or a handler blocks its thread | |
//! | 60 s | SIGKILL, if it had not | `terminationGracePeriodSeconds` |
//!
//! These are the times of `examples/deploy/deployment.yaml`, which also has the probes.
//!
//! **Run.** It takes a Redis on this machine (`REDIS_URL` for another), and two terminals:
//!
//! ```sh
//! cargo run -p streamherd-examples --example shutdown
//! cargo run -p streamherd-examples --example producer    # in the other terminal
//! ```
//!
//! ```text
//! process …, ask http://127.0.0.1:9090/readyz
//! session-0: takes five seconds
//! ```
//!
//! **Try.** End it while it works, and ask whether it is ready:
//!
//! ```sh
//! kill -TERM PID    # the process that it named
//! curl -i http://127.0.0.1:9090/readyz
//! ```
//!
//! ```text
//! HTTP/1.1 503 …
//! …"shutting_down"…
//! ```
//!
//! It ends when its handlers have:
//!
//! ```text
//! SIGTERM: no new streams; what is held has 30s
//! session-0: finished
//! done …, handed over 0
//! ```
//!
//! Start it again, submit again, and end it twice. It is gone at once (exit code 143), and six seconds after that its streams come to
//! any other worker, which says `attempt 1` of them:
//!
//! ```sh
//! kill -TERM PID
//! kill -TERM PID
//! cargo run -p streamherd-examples --example worker
//! ```

use std::time::Duration;

use streamherd::{BoxError, Client, Job, Worker};
use streamherd_probes::Probes;
use tokio::signal::unix::{SignalKind, signal};

/// How long handlers may go on after SIGTERM.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long they may take to stop after that.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // Before there is anything to lose: until then SIGTERM ends the process as it ends any other.
    let mut terminate = signal(SignalKind::terminate())?;
    let listen = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:9090".to_owned());
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;

    let (client, notifications) = Client::builder("orders")
        .url(std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned()))
        .max_in_flight(8)
        .connect()
        .await?;
    tokio::spawn(Probes::of(client.clone()).serve(listener));
    println!("process {}, ask http://{address}/readyz", std::process::id());

    let asked = async move {
        terminate.recv().await;
        println!("SIGTERM: no new streams; what is held has {DEADLINE:?}");
        tokio::spawn(async move {
            terminate.recv().await;
            // As the shell has it for a process that SIGTERM has ended.
            std::process::exit(128 + 15);
        });
    };
    let report = Worker::new(client, notifications)
        .shutdown_on(asked, DEADLINE)
        .grace(GRACE)
        .run(work)
        .await?;
    println!("done {}, handed over {}", report.done, report.released);
    Ok(())
}

async fn work(job: Job) -> Result<(), BoxError> {
    println!("{}: takes five seconds", job.stream());
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
        // The deadline is over. An error counts as no failure now: the stream goes to another worker.
        () = job.stop().cancelled() => return Err("stopped half-way".into()),
    }
    println!("{}: finished", job.stream());
    Ok(())
}
