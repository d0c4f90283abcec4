//! # Testing one's own worker
//!
//! **What.** A small worker, and tests of it on real redis-servers from `streamherd-testkit`: a failure, a kill, a process that stands
//! still, a Redis that dies. Each test has a server of its own, on a free port, so that they run side by side; none sleeps and hopes.
//!
//! **Run.** It takes redis-server on the `PATH`, or in `STREAMHERD_REDIS_SERVER`:
//!
//! ```sh
//! cargo test -p streamherd-examples --example testing
//! ```
//!
//! **Try.** Break it: have `work` return before its `ensure_valid`, or a lock live for a minute, and see which test says so, and how. In a
//! package with a program, start that with `env!("CARGO_BIN_EXE_name")` where `Running::start` here starts the test itself.

use std::time::Duration;

use streamherd::{BoxError, Builder, Client, Job, Worker};

/// What the program and its tests have in common.
fn builder(url: &str) -> Builder {
    Client::builder("mails").url(url).max_in_flight(4)
}

async fn run(builder: Builder) -> Result<(), BoxError> {
    let (client, notifications) = builder.connect().await?;
    Worker::new(client, notifications).run(work).await?;
    Ok(())
}

async fn work(job: Job) -> Result<(), BoxError> {
    // How long the mail server takes, and how often it refuses.
    let (millis, refusals): (u64, u32) = job.info()?;
    println!("takes {}", job.stream());
    tokio::time::sleep(Duration::from_millis(millis)).await;
    if job.attempt() < refusals {
        return Err("the mail server refuses".into());
    }
    job.ensure_valid()?;
    println!("sends {} at attempt {}", job.stream(), job.attempt());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    run(builder(&std::env::var("REDIS_URL")?)).await
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use streamherd_testkit::{Process, Server, eventually};

    const SOON: Duration = Duration::from_secs(50);

    /// A worker process, and what it says: only processes can be killed, and stand still.
    struct Running(Process, Receiver<String>);

    impl Running {
        fn start(server: &Server) -> Self {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["tests::the_worker", "--exact", "--ignored", "--nocapture"]);
            command.env("REDIS_URL", server.url()).stdout(Stdio::piped());
            let mut process = Process::spawn(command);
            let stdout = BufReader::new(process.take_stdout().unwrap());
            let (tell, lines) = channel();
            std::thread::spawn(move || stdout.lines().map_while(Result::ok).all(|line| tell.send(line).is_ok()));
            Self(process, lines)
        }

        fn says(&self, wanted: &str) {
            while !self.1.recv_timeout(SOON).expect(wanted).contains(wanted) {}
        }
    }

    /// Not a test: what `Running` starts. Locks of three seconds: nobody has to wait six for what a dead worker held.
    #[tokio::test]
    #[ignore = "it is the worker of the other tests"]
    async fn the_worker() {
        let here = builder(&std::env::var("REDIS_URL").unwrap());
        run(here.lock_ttl(Duration::from_secs(3))).await.unwrap();
    }

    async fn submit(server: &Server, name: &str, millis: u64, refusals: u32) {
        let producer = builder(&server.url()).connect_producer().await.unwrap();
        producer.submit(name, &(millis, refusals)).await.unwrap();
    }

    /// Neither queued, nor delayed, nor pending, nor dead.
    async fn nothing_is_left(server: &Server) {
        let admin = builder(&server.url()).connect_admin().await.unwrap();
        eventually(SOON, "the queue is empty", || async {
            let now = admin.status().await.unwrap();
            (now.queued + now.requeued + now.delayed + now.pending + now.dead_letters == 0).then_some(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_refused_mail_is_sent_at_a_later_attempt() {
        let server = Server::start();
        submit(&server, "mail-1", 0, 2).await;
        let worker = Running::start(&server);
        worker.says("sends mail-1 at attempt 2");
        nothing_is_left(&server).await;
    }

    #[tokio::test]
    async fn what_a_killed_worker_held_is_sent_by_the_next() {
        let server = Server::start();
        submit(&server, "mail-1", 3_000, 0).await;
        let first = Running::start(&server);
        first.says("takes mail-1");
        drop(first); // by SIGKILL
        Running::start(&server).says("sends mail-1 at attempt");
    }

    #[tokio::test]
    async fn a_worker_that_stood_still_does_not_send_what_another_has_sent() {
        let server = Server::start();
        submit(&server, "mail-1", 3_000, 0).await;
        let first = Running::start(&server);
        first.says("takes mail-1");
        first.0.freeze();
        let second = Running::start(&server);
        second.says("sends mail-1 at attempt");
        nothing_is_left(&server).await;
        drop(second);
        first.0.thaw();
        // It works on, and knows that the first mail is not its own any more.
        submit(&server, "mail-2", 0, 0).await;
        let mut said = first.1.iter().take_while(|line| !line.contains("sends mail-2"));
        assert!(!said.any(|line| line.contains("sends mail-1")), "it was sent twice");
    }

    #[tokio::test]
    async fn a_restart_of_redis_costs_no_mail() {
        let mut server = Server::builder().persistent().start();
        let worker = Running::start(&server);
        submit(&server, "mail-1", 2_000, 0).await;
        worker.says("takes mail-1");
        server.restart();
        worker.says("sends mail-1");
        nothing_is_left(&server).await;
    }
}
