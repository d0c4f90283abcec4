//! A worker with a handler, in the test's own process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use streamherd::error::RunError;
use streamherd::{Builder, Client, Worker, WorkerReport};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::{SOON, patiently};

/// A handler runtime on a task, and how to end it.
#[derive(Debug)]
pub struct Handling {
    /// The handle.
    pub client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<WorkerReport, RunError>>,
}

impl Handling {
    /// Connects, and runs what `run` makes of the worker. `deadline` is what handlers have at a shutdown.
    pub async fn start<F>(builder: Builder, deadline: Duration, run: impl FnOnce(Worker) -> F) -> Self
    where
        F: Future<Output = Result<WorkerReport, RunError>> + Send + 'static,
    {
        let (client, notifications) = patiently(|| builder.clone().connect()).await;
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::new(client.clone(), notifications).shutdown_on(stopped, deadline);
        let task = tokio::spawn(run(worker));
        Self {
            client,
            stop: Some(stop),
            task,
        }
    }

    /// Asks it to end.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).expect("it still runs");
        }
    }

    /// Asks it to end, and waits for that.
    pub async fn end(mut self) -> WorkerReport {
        self.stop();
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(self) -> WorkerReport {
        // Dropped here it would ask for the end.
        let _stop = self.stop;
        let ended = tokio::time::timeout(SOON, self.task).await;
        ended
            .expect("the worker ends")
            .expect("it does not panic")
            .expect("it ends well")
    }

    /// Drops it in the middle of whatever it does.
    pub async fn abort(self) {
        self.task.abort();
        let ended = self.task.await;
        assert!(ended.expect_err("it was running").is_cancelled());
    }
}

/// Counts how many of something there are at a time, and the most there were.
#[derive(Debug, Clone, Default)]
pub struct Census(Arc<(AtomicUsize, AtomicUsize)>);

/// One that is counted until it is dropped.
#[derive(Debug)]
pub struct Counted(Census);

impl Census {
    /// One more.
    #[must_use]
    pub fn enter(&self) -> Counted {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
        Counted(self.clone())
    }

    /// How many there are.
    #[must_use]
    pub fn now(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    /// The most there ever were.
    #[must_use]
    pub fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What handlers note down, for the test to read.
#[derive(Debug, Clone)]
pub struct Diary(mpsc::UnboundedSender<(String, Instant)>);

/// The reading end of a [`Diary`].
#[derive(Debug)]
pub struct Reading {
    notes: mpsc::UnboundedReceiver<(String, Instant)>,
    read: Vec<(String, Instant)>,
}

/// Notes something down when it is dropped.
#[derive(Debug)]
pub struct Note(Diary, String);

impl Diary {
    /// An empty diary.
    #[must_use]
    pub fn open() -> (Self, Reading) {
        let (diary, notes) = mpsc::unbounded_channel();
        (
            Self(diary),
            Reading {
                notes,
                read: Vec::new(),
            },
        )
    }

    /// Notes something down.
    pub fn note(&self, what: impl Into<String>) {
        // A test that is over does not read on.
        let _ = self.0.send((what.into(), Instant::now()));
    }

    /// Notes something down when the result is dropped.
    #[must_use]
    pub fn at_drop(&self, what: impl Into<String>) -> Note {
        Note(self.clone(), what.into())
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.0.note(std::mem::take(&mut self.1));
    }
}

impl Reading {
    /// Waits for a note that has not been asked for yet, and says when it was written.
    pub async fn reads(&mut self, what: &str) -> Instant {
        let end = tokio::time::Instant::now() + SOON;
        loop {
            if let Some(at) = self.read.iter().position(|(note, _)| note == what) {
                return self.read.remove(at).1;
            }
            match tokio::time::timeout_at(end, self.notes.recv()).await {
                Ok(Some(note)) => self.read.push(note),
                Ok(None) => panic!("nobody can note {what:?} any more; there is {:?}", self.read),
                Err(_) => panic!("{what:?} was not noted within {SOON:?}; there is {:?}", self.read),
            }
        }
    }

    /// Whether something stands there that has not been asked for yet.
    pub fn has(&mut self, what: &str) -> bool {
        while let Ok(note) = self.notes.try_recv() {
            self.read.push(note);
        }
        self.read.iter().any(|(note, _)| note == what)
    }
}
