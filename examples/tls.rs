//! # TLS, and a login that may do just what a worker does
//!
//! **What.** `rediss://` speaks TLS. The server's certificate is checked against an authority in a file (without one, against those of
//! the system), and the worker logs in as an ACL user with the smallest set of rights that works; its password comes from a file or
//! the environment, and shows in no log line and no error.
//!
//! **Run.** It starts a server of its own, with TLS and such a user, unless `REDIS_URL` names one. It takes a redis-server that was built
//! with TLS on the `PATH`, and ends with Ctrl-C:
//!
//! ```sh
//! cargo run -p streamherd-examples --example tls
//! ```
//!
//! ```text
//! REDIS_URL=rediss://127.0.0.1:… STREAMHERD_TLS_CA=… STREAMHERD_USERNAME=worker STREAMHERD_PASSWORD_FILE=…
//! parcel-1: worked on over TLS
//! ```
//!
//! **Try.** The line that it prints is what the program and the command line read from their environment. `doctor` says what this login
//! may not do and what that means (nothing that a worker needs), with those words in the place of `SETTINGS`:
//!
//! ```sh
//! env SETTINGS cargo run -p streamherd-cli -- --service orders doctor
//! ```
//!
//! ```text
//! ✓ rights … user worker has all rights that its role of worker can't do without
//! ```
//!
//! A wrong password, here from the environment, and a server whose authority nobody told of, are refused before anything starts:
//!
//! ```sh
//! env SETTINGS STREAMHERD_PASSWORD_FILE= STREAMHERD_PASSWORD=wrong cargo run -p streamherd-examples --example tls
//! env SETTINGS STREAMHERD_TLS_CA= cargo run -p streamherd-examples --example tls
//! ```

use std::collections::HashMap;
use std::env;
use std::time::Duration;

use streamherd::{BoxError, Client, Credentials, Job, Tls, Worker};
use streamherd_testkit::Server;

/// What a worker of the service `orders` needs, and what is useful to it: those of docs/OPERATIONS.md.
const RULES: &str = "resetkeys ~{orders:[0-9]*}:* resetchannels -@all \
    +evalsha +eval +xadd +xreadgroup +xpending +xrange +xack +xdel +xclaim +xlen +xgroup|create +xgroup|delconsumer \
    +xinfo|consumers +xinfo|groups +get +mget +set +del +pexpire +pttl +hget +hmget +hstrlen +hset +hdel +hkeys +hlen +hscan \
    +zadd +zrem +zscore +zrangebyscore +type +time +ping \
    &__keyspace@0__:{orders:[0-9]*}:lock:* +script|load +config|get +client|unblock +psubscribe +client|id +info +zcard";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let own = env::var("REDIS_URL").is_err().then(Practice::start).transpose()?;
    let settings = own.as_ref().map_or_else(|| env::vars().collect(), Practice::settings);
    let given = |name: &str| settings.get(name).filter(|value| !value.is_empty());

    let mut login = Credentials::new();
    if let Some(user) = given("STREAMHERD_USERNAME") {
        login = login.user(user);
    }
    // Never from the command line, which everybody on the machine can read.
    if let Some(file) = given("STREAMHERD_PASSWORD_FILE") {
        login = login.password_file(file);
    } else if let Some(password) = given("STREAMHERD_PASSWORD") {
        login = login.password(password);
    }
    let url = given("REDIS_URL").ok_or("REDIS_URL is empty")?;
    let mut builder = Client::builder("orders").url(url).credentials(login);
    if let Some(ca) = given("STREAMHERD_TLS_CA") {
        builder = builder.tls(Tls::new().ca_file(ca));
    }
    let (client, notifications) = builder.connect().await?;

    // The rights of a worker are enough for a producer.
    client.producer().submit("parcel-1", &()).await?;
    Worker::new(client, notifications)
        .shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(1))
        .run(work)
        .await?;
    Ok(())
}

async fn work(job: Job) -> Result<(), BoxError> {
    println!("{}: worked on over TLS", job.stream());
    Ok(())
}

/// A server to practise on, with certificates and a password that were made for it.
struct Practice {
    server: Server,
    password: tempfile::NamedTempFile,
}

impl Practice {
    fn start() -> Result<Self, BoxError> {
        let server = Server::builder().tls().user("worker", "open sesame", RULES).start();
        let password = tempfile::NamedTempFile::new()?;
        std::fs::write(&password, "open sesame\n")?;
        Ok(Self { server, password })
    }

    /// What one has to know of it, in the variables that the command line reads, too.
    fn settings(&self) -> HashMap<String, String> {
        let ca = self
            .server
            .certificates()
            .map(|made| made.authority().display().to_string());
        let settings = [
            ("REDIS_URL", self.server.url()),
            ("STREAMHERD_TLS_CA", ca.unwrap_or_default()),
            ("STREAMHERD_USERNAME", "worker".to_owned()),
            ("STREAMHERD_PASSWORD_FILE", self.password.path().display().to_string()),
        ];
        println!(
            "{}",
            settings
                .each_ref()
                .map(|(name, value)| format!("{name}={value}"))
                .join(" ")
        );
        settings.map(|(name, value)| (name.to_owned(), value)).into()
    }
}
