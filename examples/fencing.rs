//! # Fencing a database write with the token
//!
//! **What.** A process can stand still for any time between the check of its lease and a write (swapping, a suspended machine, a slow
//! network). Then another worker has the stream, and the late write must not count. Only the database can see to that: each write
//! brings its fencing token along, and a row that was written under a later one refuses it.
//!
//! It writes to SQLite, so that nothing has to be installed. The statement is the same in Postgres.
//!
//! **Run.** It takes a Redis on this machine (`REDIS_URL` for another), and two terminals:
//!
//! ```sh
//! cargo run -p streamherd-examples --example fencing --features sqlite
//! cargo run -p streamherd-examples --example fencing --features sqlite    # in the second terminal
//! ```
//!
//! ```text
//! process …: account-1 under token …
//! process …: account-1 is written
//! ```
//!
//! **Try.** Run both again, and at once stop the process that has the stream; let it go on when the other one has written. It finds
//! its lease lost; a worker would stop there. This one writes all the same, as if it had stood still one line further down:
//!
//! ```sh
//! kill -STOP PID
//! kill -CONT PID    # when the other one has written
//! ```
//!
//! ```text
//! process …: the lease on entry … is lost, …
//! process …: the database refuses token …, the row has …
//! ```

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, params};
use streamherd::{BoxError, Client, Job, Worker};

/// In Postgres with `$1` for `?1`, and `BIGINT`, which holds every token.
const WRITE: &str = "
    INSERT INTO accounts (name, balance, token) VALUES (?1, ?2, ?3)
    ON CONFLICT (name) DO UPDATE SET balance = excluded.balance, token = excluded.token
    WHERE accounts.token <= excluded.token";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let (client, notifications) = Client::builder("fencing")
        .url(std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned()))
        .connect()
        .await?;
    let path: PathBuf = match std::env::var("DATABASE") {
        Ok(path) => path.into(),
        Err(_) => std::env::temp_dir().join("streamherd-accounts.db"),
    };
    open(&path)?;
    // The second program's submit finds the stream there, and adds nothing but one more run after the present one.
    client.producer().submit("account-1", &()).await?;

    Worker::new(client, notifications)
        .shutdown_on(tokio::signal::ctrl_c(), Duration::ZERO)
        .run(move |job| book(job, path.clone()))
        .await?;
    Ok(())
}

async fn book(job: Job, path: PathBuf) -> Result<(), BoxError> {
    let process = std::process::id();
    println!("process {process}: {} under token {}", job.stream(), job.token());
    // Some long calculation, which does not listen to `job.stop()`.
    tokio::time::sleep(Duration::from_secs(3)).await;

    // Saves useless work, and is right at this moment. It does not protect the next line: `?` belongs here, where this goes on.
    if let Err(lost) = job.ensure_valid() {
        println!("process {process}: {lost}");
    }
    // SQLite waits for its file.
    let written = tokio::task::spawn_blocking(move || write(&path, job.stream(), 42, job.token().get())).await??;
    match written {
        Ok(()) => println!("process {process}: account-1 is written"),
        Err(refused) => println!("process {process}: {refused}"),
    }
    Ok(())
}

/// Writes, unless the row has been written under a later token; that is not an error of the database, but says so.
fn write(path: &PathBuf, name: &str, balance: i64, token: u64) -> rusqlite::Result<Result<(), String>> {
    let mut database = open(path)?;
    let transaction = database.transaction()?;
    let rows = transaction.execute(WRITE, params![name, balance, token.cast_signed()])?;
    let kept = "SELECT token FROM accounts WHERE name = ?1";
    let kept: i64 = transaction.query_row(kept, [name], |row| row.get(0))?;
    transaction.commit()?;
    Ok(match rows {
        0 => Err(format!("the database refuses token {token}, the row has {kept}")),
        _ => Ok(()),
    })
}

fn open(path: &PathBuf) -> rusqlite::Result<Connection> {
    let database = Connection::open(path)?;
    // Waits for the other program to have written.
    database.busy_timeout(Duration::from_secs(5))?;
    database
        .execute_batch("CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, balance INTEGER, token INTEGER)")?;
    Ok(database)
}
