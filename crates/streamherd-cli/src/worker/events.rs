//! `worker --events`: what happens, as one JSON object per line on stdout.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use streamherd::error::SettleError;
use streamherd::{DataLoss, Disowned, EntryId, Lease, Orphan, Token};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::human::now_ms;

/// Lines that wait for a slow reader. When they are full the worker waits too; heartbeats don't.
const WAITING: usize = 1024;

/// Prints events, if it is asked to, and knows which leases are still open: a lease ends in one event, however many parts
/// of the worker notice its end.
pub(super) struct Events {
    consumer: String,
    lines: Option<mpsc::Sender<Vec<u8>>>,
    open: Mutex<HashSet<Key>>,
}

impl Events {
    /// Events of this consumer, printed to stdout.
    ///
    /// `closed` fires when nobody reads them any more.
    pub(super) fn to_stdout(consumer: &str, closed: CancellationToken) -> io::Result<(Self, Writer)> {
        // Not std's stdout: its buffer would cut long lines into several writes.
        let stdout = File::from(rustix::stdio::stdout().try_clone_to_owned()?);
        let (sender, lines) = mpsc::channel(WAITING);
        // A thread, because a write to a pipe that nobody empties blocks, and must not block a runtime's.
        let thread = std::thread::Builder::new()
            .name("streamherd-events".to_owned())
            .spawn(move || write(stdout, lines, &closed))?;
        Ok((Self::new(consumer, Some(sender)), Writer(Some(thread))))
    }

    /// Events that nobody wants to see.
    pub(super) fn unseen(consumer: &str) -> (Self, Writer) {
        (Self::new(consumer, None), Writer(None))
    }

    fn new(consumer: &str, lines: Option<mpsc::Sender<Vec<u8>>>) -> Self {
        Self {
            consumer: consumer.to_owned(),
            lines,
            open: Mutex::default(),
        }
    }

    pub(super) async fn ready(&self) {
        self.print(Event::new("ready")).await;
    }

    pub(super) async fn added(&self, lease: &Lease) {
        let subject = Subject::from(lease);
        self.open().insert(subject.key());
        let info = lease.info::<Box<RawValue>>().ok().map(in_one_line);
        let mut event = Event::about("added", &subject);
        event.info = info.as_deref();
        self.print(event).await;
    }

    /// Redis has confirmed how the lease ended.
    pub(super) async fn settled(
        &self,
        event: &'static str,
        subject: &Subject,
        reason: Option<&str>,
        delay: Option<Duration>,
    ) {
        self.close(event, subject, reason, delay).await;
    }

    pub(super) async fn disowned(&self, lost: &Disowned) {
        self.close("disowned", &Subject::from(lost), Some(lost.reason.as_str()), None)
            .await;
    }

    pub(super) async fn refused(&self, subject: &Subject, error: &SettleError) {
        let reason = match error {
            SettleError::Disowned(lost) => lost.reason.as_str(),
            SettleError::Vanished { .. } => "vanished",
            SettleError::Store(_) => "refused",
            _ => "unknown",
        };
        self.close("disowned", subject, Some(reason), None).await;
    }

    /// Something about an orphan.
    pub(super) async fn orphan(&self, event: &'static str, orphan: &Orphan, reason: Option<&str>) {
        let subject = Subject::from(orphan);
        let mut event = Event::about(event, &subject);
        event.reason = reason;
        self.print(event).await;
    }

    pub(super) async fn data_loss(&self, loss: &DataLoss) {
        let mut event = Event::new("data_loss");
        event.partition = Some(loss.partition);
        self.print(event).await;
    }

    pub(super) async fn terminated(&self, reason: &str) {
        let mut event = Event::new("terminated");
        event.reason = Some(reason);
        self.print(event).await;
    }

    /// The handler and the notification that its lease is lost may both report the end; the first one prints it.
    async fn close(&self, event: &'static str, subject: &Subject, reason: Option<&str>, delay: Option<Duration>) {
        if self.open().remove(&subject.key()) {
            let mut event = Event::about(event, subject);
            event.reason = reason;
            event.delay_ms = delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
            self.print(event).await;
        }
    }

    async fn print(&self, mut event: Event<'_>) {
        let Some(lines) = &self.lines else { return };
        event.consumer = &self.consumer;
        match serde_json::to_vec(&event) {
            Ok(mut line) => {
                line.push(b'\n');
                // Nobody reads any more, and the worker is ending.
                let _ = lines.send(line).await;
            }
            Err(e) => tracing::error!(error = %e, "an event could not be printed"),
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashSet<Key>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that writes. It ends when the [`Events`] are dropped and everything is written.
pub(super) struct Writer(Option<JoinHandle<()>>);

impl Writer {
    pub(super) async fn finish(self) {
        if let Some(thread) = self.0 {
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
    }
}

fn write(mut stdout: File, mut lines: mpsc::Receiver<Vec<u8>>, closed: &CancellationToken) {
    while let Some(line) = lines.blocking_recv() {
        if let Err(e) = stdout.write_all(&line) {
            if e.kind() != io::ErrorKind::BrokenPipe {
                tracing::error!(error = %e, "events can't be printed; shutting down");
            }
            closed.cancel();
            return;
        }
    }
}

/// What tells leases apart: the token, as an entry that is written anew has another id; without one, the entry.
type Key = (u16, Option<EntryId>, Option<Token>);

/// The stream that an event is about. Outlives the lease, which is gone once it is settled.
pub(super) struct Subject {
    stream: String,
    partition: u16,
    id: EntryId,
    token: Option<Token>,
    attempt: u32,
}

impl Subject {
    fn key(&self) -> Key {
        (self.partition, self.token.is_none().then_some(self.id), self.token)
    }
}

impl From<&Lease> for Subject {
    fn from(lease: &Lease) -> Self {
        Self {
            stream: lease.stream().to_owned(),
            partition: lease.partition(),
            id: lease.id(),
            token: Some(lease.token()),
            attempt: lease.attempt(),
        }
    }
}

impl From<&Disowned> for Subject {
    fn from(lost: &Disowned) -> Self {
        Self {
            stream: lost.stream.clone(),
            partition: lost.partition,
            id: lost.id,
            token: Some(lost.token),
            attempt: lost.attempt,
        }
    }
}

impl From<&Orphan> for Subject {
    fn from(orphan: &Orphan) -> Self {
        Self {
            stream: orphan.stream().to_owned(),
            partition: orphan.partition(),
            id: orphan.id(),
            token: None,
            attempt: orphan.attempt(),
        }
    }
}

#[derive(Serialize)]
struct Event<'a> {
    at_ms: u64,
    event: &'static str,
    consumer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// As text: 64 bits are more than a double holds, which is what many readers make of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
}

impl<'a> Event<'a> {
    fn new(event: &'static str) -> Self {
        Self {
            at_ms: now_ms(),
            event,
            consumer: "",
            stream: None,
            id: None,
            token: None,
            partition: None,
            attempt: None,
            info: None,
            reason: None,
            delay_ms: None,
        }
    }

    fn about(event: &'static str, subject: &'a Subject) -> Self {
        Self {
            stream: Some(&subject.stream),
            id: Some(subject.id.to_string()),
            token: subject.token.map(|token| token.to_string()),
            partition: Some(subject.partition),
            attempt: Some(subject.attempt),
            ..Self::new(event)
        }
    }
}

/// Producers in other languages may have sent info that spans lines. In JSON, line breaks stand between values only.
fn in_one_line(info: Box<RawValue>) -> Box<RawValue> {
    if !info.get().contains(['\n', '\r']) {
        return info;
    }
    RawValue::from_string(info.get().replace(['\n', '\r'], " ")).unwrap_or(info)
}
