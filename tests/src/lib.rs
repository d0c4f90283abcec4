//! What the contract tests share: a service on a real server, workers on it, and a view of the truth in Redis.

use std::io::{BufRead as _, BufReader, Write as _};
use std::time::Duration;

use serde_json::Value;
use streamherd::{Builder, Client, Disowned, KeyspaceEvents, Lease, Notification, Notifications, Orphan, Recovery};
use streamherd_testkit::{Fault, Process, RawClient, Server, eventually};

/// Short enough for tests, long enough for a machine that does other things too.
pub const TTL: Duration = Duration::from_secs(2);
/// `recovery.min_idle` of the tests.
pub const MIN_IDLE: Duration = Duration::from_millis(2_300);
/// `recovery.scan_interval` of the tests.
pub const SCAN: Duration = Duration::from_millis(200);
/// Longer than anything here should take.
pub const SOON: Duration = Duration::from_secs(20);

/// The service that all tests use; each has a server of its own.
pub const SERVICE: &str = "orders";

/// A worker or producer for a test, not connected yet.
pub fn builder(url: &str) -> Builder {
    Client::builder(SERVICE)
        .url(url)
        .consumer("w")
        .lock_ttl(TTL)
        .read_block(Duration::from_secs(1))
        .health_interval(Duration::from_secs(1))
        .recovery(recovery())
}

/// The recovery settings of the tests.
#[must_use]
pub fn recovery() -> Recovery {
    Recovery {
        min_idle: Some(MIN_IDLE),
        scan_interval: SCAN,
        ..Recovery::default()
    }
}

/// A connected worker, and what it was told and has not been asked for yet.
#[derive(Debug)]
pub struct Worker {
    /// The handle.
    pub client: Client,
    notifications: Notifications,
    added: Vec<Lease>,
    expired: Vec<Orphan>,
    disowned: Vec<Disowned>,
    /// How often data loss was told.
    pub losses: usize,
    /// How the client ended, if it has.
    pub terminated: Option<String>,
}

impl Worker {
    /// Connects with the tests' settings.
    pub async fn start(url: &str) -> Self {
        Self::with(builder(url)).await
    }

    /// Connects without keyspace notifications: recovery is the scan's.
    pub async fn deaf(url: &str) -> Self {
        Self::with(builder(url).keyspace_events(KeyspaceEvents::Off)).await
    }

    /// Connects with settings of its own.
    pub async fn with(builder: Builder) -> Self {
        let (client, notifications) = builder.connect().await.expect("a worker connects");
        Self {
            client,
            notifications,
            added: Vec::new(),
            expired: Vec::new(),
            disowned: Vec::new(),
            losses: 0,
            terminated: None,
        }
    }

    /// The next stream this worker is given.
    pub async fn added(&mut self) -> Lease {
        self.expect("a stream is added", |w| {
            (!w.added.is_empty()).then(|| w.added.remove(0))
        })
        .await
    }

    /// The next `count` streams this worker is given.
    pub async fn added_many(&mut self, count: usize) -> Vec<Lease> {
        let mut leases = Vec::with_capacity(count);
        while leases.len() < count {
            leases.push(self.added().await);
        }
        leases
    }

    /// The next orphan this worker hears of.
    pub async fn expired(&mut self) -> Orphan {
        self.expect("an orphan is announced", |w| {
            (!w.expired.is_empty()).then(|| w.expired.remove(0))
        })
        .await
    }

    /// The next lease this worker loses.
    pub async fn disowned(&mut self) -> Disowned {
        self.expect("a lease is disowned", |w| {
            (!w.disowned.is_empty()).then(|| w.disowned.remove(0))
        })
        .await
    }

    /// Waits for the end of the client.
    pub async fn terminated(&mut self) -> String {
        self.expect("the client ends", |w| w.terminated.take()).await
    }

    /// Waits until data loss was told.
    pub async fn data_loss(&mut self) {
        self.expect("data loss is told", |w| (w.losses > 0).then_some(())).await;
    }

    /// Takes whatever has been told within `span`.
    pub async fn listen_for(&mut self, span: Duration) -> &Self {
        let end = tokio::time::Instant::now() + span;
        while let Ok(Some(notification)) = tokio::time::timeout_at(end, self.notifications.recv()).await {
            self.sort(notification);
        }
        self
    }

    /// Streams given and not asked for yet.
    #[must_use]
    pub fn unasked(&self) -> usize {
        self.added.len()
    }

    /// Disowned leases told and not asked for yet.
    #[must_use]
    pub fn unasked_disowned(&self) -> usize {
        self.disowned.len()
    }

    async fn expect<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let waiting = async {
            loop {
                if let Some(found) = found(self) {
                    return found;
                }
                match self.notifications.recv().await {
                    Some(notification) => self.sort(notification),
                    None => panic!("the notifications ended before {what}"),
                }
            }
        };
        let Ok(found) = tokio::time::timeout(SOON, waiting).await else {
            panic!("did not happen within {SOON:?}: {what}");
        };
        found
    }

    fn sort(&mut self, notification: Notification) {
        match notification {
            Notification::StreamAdded(lease) => self.added.push(lease),
            Notification::StreamExpired(orphan) => self.expired.push(orphan),
            Notification::StreamDisowned(lost) => self.disowned.push(lost),
            Notification::DataLoss(_) => self.losses += 1,
            Notification::Terminated(reason) => self.terminated = Some(reason.to_string()),
            other => panic!("an unknown notification: {other:?}"),
        }
    }
}

/// Submits streams with the names and an info that repeats the name.
pub async fn submit<N: AsRef<str>>(url: &str, names: impl IntoIterator<Item = N>) {
    let producer = builder(url).connect_producer().await.expect("a producer connects");
    let items: Vec<(String, Value)> = names
        .into_iter()
        .map(|name| (name.as_ref().to_owned(), serde_json::json!({ "of": name.as_ref() })))
        .collect();
    for result in producer.submit_many(items).await {
        result.expect("a submit is accepted");
    }
    producer.close().await;
}

/// `prefix-0`, `prefix-1`, …
#[must_use]
pub fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}

/// What Redis itself says of the service, over a connection of its own.
#[derive(Debug)]
pub struct Truth {
    redis: RawClient,
}

/// One record of a pending entries list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The entry's id.
    pub id: String,
    /// Who was given it.
    pub consumer: String,
}

impl Truth {
    /// Looks at a server.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        Self { redis: server.client() }
    }

    /// The name of one of the service's keys.
    #[must_use]
    pub fn key(name: &str) -> String {
        format!("{{{SERVICE}:0}}:{name}")
    }

    /// Any command, split at white space; `T:` stands for the service's key prefix.
    pub fn cmd(&mut self, line: &str) -> streamherd_testkit::Reply {
        self.redis.cmd(&line.replace("T:", &Self::key("")))
    }

    /// Any command, word by word.
    pub fn call(&mut self, words: &[&str]) -> streamherd_testkit::Reply {
        self.redis.call(words)
    }

    /// The pending entries of `input` or `front`.
    pub fn pending(&mut self, lane: &str) -> Vec<Pending> {
        let reply = self.cmd(&format!("XPENDING T:{lane} workers - + 100000"));
        if reply.is_error() {
            return Vec::new();
        }
        reply
            .array()
            .iter()
            .map(|record| Pending {
                id: record.array()[0].text(),
                consumer: record.array()[1].text(),
            })
            .collect()
    }

    /// Entries pending in either lane.
    pub fn pending_count(&mut self) -> usize {
        self.pending("input").len() + self.pending("front").len()
    }

    /// Entries in either lane, pending or not.
    pub fn length(&mut self) -> i64 {
        self.cmd("XLEN T:input").int() + self.cmd("XLEN T:front").int()
    }

    /// Dead letters, as field maps.
    pub fn dead_letters(&mut self) -> Vec<Vec<(String, String)>> {
        self.entries("dlq").into_iter().map(|(_, fields)| fields).collect()
    }

    /// The entries of a stream: ids and fields.
    pub fn entries(&mut self, stream: &str) -> Vec<(String, Vec<(String, String)>)> {
        self.cmd(&format!("XRANGE T:{stream} - +"))
            .array()
            .iter()
            .map(|entry| (entry.array()[0].text(), entry.array()[1].pairs()))
            .collect()
    }

    /// The names of the locks that live.
    pub fn locks(&mut self) -> Vec<String> {
        self.cmd("KEYS {orders:0}:lock:*").strings()
    }

    /// Whether nothing of any work is left: no entry, no pending record, no lock.
    pub fn is_clean(&mut self) -> bool {
        self.length() == 0 && self.pending_count() == 0 && self.locks().is_empty()
    }

    /// Waits until nothing of any work is left.
    pub async fn becomes_clean(&mut self) {
        let clean = eventually(SOON, "queue, pending entries and locks are gone", || {
            let clean = self.is_clean();
            async move { clean.then_some(()) }
        });
        clean.await;
    }
}

/// The value of a field.
#[must_use]
pub fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map_or_else(|| panic!("no field {name} in {fields:?}"), |(_, value)| value)
}

/// A worker in a process of its own (`contract-worker`), to be killed and frozen.
#[derive(Debug)]
pub struct WorkerProcess {
    /// The process.
    pub process: Process,
    stdin: std::process::ChildStdin,
    lines: tokio::sync::mpsc::UnboundedReceiver<Value>,
    /// Everything it has said so far and that was received.
    pub said: Vec<Value>,
}

impl WorkerProcess {
    /// Starts one; `binary` is `env!("CARGO_BIN_EXE_contract-worker")`.
    #[must_use]
    pub fn start(binary: &str, url: &str, options: &[&str]) -> Self {
        let mut command = std::process::Command::new(binary);
        command.arg(url).args(options);
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut process = Process::spawn(command);
        let stdin = process.take_stdin().expect("a pipe to the worker");
        let stdout = process.take_stdout().expect("a pipe from the worker");
        let (tell, lines) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("a worker says JSON");
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            process,
            stdin,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits for the next line that says this event.
    pub async fn says(&mut self, event: &str) -> Value {
        let waiting = async {
            while let Some(line) = self.lines.recv().await {
                self.said.push(line.clone());
                if line["event"] == event {
                    return line;
                }
            }
            panic!("the worker ended before it said {event:?}; it said {:?}", self.said)
        };
        match tokio::time::timeout(SOON, waiting).await {
            Ok(line) => line,
            Err(_) => panic!("the worker did not say {event:?} within {SOON:?}"),
        }
    }

    /// Waits for `count` such lines.
    pub async fn says_times(&mut self, event: &str, count: usize) -> Vec<Value> {
        let mut lines = Vec::with_capacity(count);
        while lines.len() < count {
            lines.push(self.says(event).await);
        }
        lines
    }

    /// All that it has said and that was not received, once it has ended.
    pub async fn rest(&mut self) -> Vec<Value> {
        while let Some(line) = self.lines.recv().await {
            self.said.push(line);
        }
        self.said.clone()
    }

    /// Has it settle all it holds that way.
    pub fn order(&mut self, how: &str) {
        writeln!(self.stdin, "{how}").expect("the worker reads its orders");
    }
}

/// Queues streams in one step and over a raw connection, as a producer in another language does: thousands at once, and
/// without any code under test.
pub fn queue(server: &Server, names: &[String]) {
    let add = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'lbs-input', ARGV[i]) end";
    let input = Truth::key("input");
    for names in names.chunks(1_000) {
        let mut words = vec!["EVAL".to_owned(), add.to_owned(), "1".to_owned(), input.clone()];
        words.extend(
            names
                .iter()
                .map(|name| serde_json::json!({ "DataStreamName": name, "Info": { "of": name } }).to_string()),
        );
        server.client().call(&words).ok();
    }
}

impl Worker {
    /// Connects if that is possible.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn try_with(builder: Builder) -> Result<Self, streamherd::error::ConnectError> {
        let (client, notifications) = builder.connect().await?;
        Ok(Self {
            client,
            notifications,
            added: Vec::new(),
            expired: Vec::new(),
            disowned: Vec::new(),
            losses: 0,
            terminated: None,
        })
    }
}

impl WorkerProcess {
    /// All that a worker has said whose process has ended.
    pub async fn last_words(mut self) -> Vec<Value> {
        let ending = async {
            while let Some(line) = self.lines.recv().await {
                self.said.push(line);
            }
        };
        if tokio::time::timeout(SOON, ending).await.is_err() {
            panic!("the worker still talks after {SOON:?}");
        }
        self.said
    }
}

impl Truth {
    /// Makes the groups, as a first worker would; so a worker that comes later finds entries pending already.
    pub fn make_groups(&mut self) {
        for lane in ["input", "front"] {
            self.cmd(&format!("XGROUP CREATE T:{lane} workers 0 MKSTREAM")).ok();
        }
    }

    /// Gives the next new entry to a consumer that is long dead and left no lock. Returns its id.
    pub fn abandon(&mut self) -> String {
        let read = self.cmd("XREADGROUP GROUP workers ghost COUNT 1 STREAMS T:input >");
        let id = read.array()[0].array()[1].array()[0].array()[0].text();
        self.cmd(&format!("XCLAIM T:input workers ghost 0 {id} IDLE 3600000"))
            .ok();
        id
    }

    /// How many connections the server has besides this one.
    pub fn others_connected(&mut self) -> usize {
        self.cmd("CLIENT LIST").text().lines().count() - 1
    }
}

/// Runs the rows of a table, so many at a time, each on a thread and a runtime of its own. Fails with the names of all
/// rows that failed.
pub fn side_by_side<R, F>(width: usize, rows: Vec<(String, R)>, run: impl Fn(R) -> F + Sync)
where
    R: Send,
    F: Future<Output = ()>,
{
    let queue = std::sync::Mutex::new(rows.into_iter());
    let failed = std::sync::Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = queue.lock().expect("no row panics here").next();
            let Some((name, row)) = next else { return };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(run(row))));
            if outcome.is_err() {
                failed.lock().expect("no row panics here").push(name);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..width {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no row panics here");
    assert!(failed.is_empty(), "{} rows failed: {failed:#?}", failed.len());
}

/// A worker process with that many slots, all of them taken; `binary` as for [`WorkerProcess::start`].
pub async fn hold(binary: &str, server: &Server, leases: usize) -> WorkerProcess {
    let slots = format!("slots={leases}");
    let mut worker = WorkerProcess::start(binary, &server.url(), &["then=hold", &slots]);
    worker.says_times("added", leases).await;
    worker
}

/// A worker whose leases outlive a slow restart.
pub fn patient(url: &str) -> Builder {
    let mut recovery = recovery();
    recovery.min_idle = Some(Duration::from_millis(6_500));
    builder(url)
        .lock_ttl(Duration::from_secs(6))
        .heartbeat(Duration::from_millis(300))
        .recovery(recovery)
}

/// What a client can't tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The command was carried out.
    Reply,
    /// It was not.
    Request,
}

impl Lost {
    /// One after the other.
    pub const BOTH: [Self; 2] = [Self::Reply, Self::Request];

    /// What a proxy does for it.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self {
            Self::Reply => Fault::SwallowReply,
            Self::Request => Fault::DropRequest,
        }
    }
}

impl Truth {
    /// Has a lock expire soon. With 1 ms a busy server may find it in the past already and delete it, which is no
    /// expiry.
    pub fn expire(&mut self, id: &str) {
        assert_eq!(self.cmd(&format!("PEXPIRE T:lock:{id} 100")).int(), 1);
    }
}
