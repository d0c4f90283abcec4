//! The demo itself, step by step.

mod chaos;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use streamherd::{Admin, Client, Producer, Status};
use streamherd_ledger::{self as ledger, Answer, History, Ledger, Target};
use streamherd_testkit::Server;

use super::fleet::{self, LOCK_TTL, POLL, SLOTS, Setup, State, Worker};
use super::journal::{self, Journal};
use super::progress::Progress;
use super::records::{Event, Steps};
use super::standing::Standing;
use super::tally::{Fault, Known, Tally};
use crate::args::DemoArgs;
use crate::failure::Failure;
use crate::output;

/// For how long the producer keeps what it submits.
const KEPT_FOR: Duration = Duration::from_secs(600);
const SERVICE: &str = "demo";
/// For starting, recovering and ending, besides the work itself.
const OVERHEAD: Duration = Duration::from_secs(60);
const MISSING_SHOWN: usize = 10;

pub(super) struct Play {
    names: Vec<String>,
    /// How many of them are submitted so far.
    sent: usize,
    workers: Vec<Worker>,
    producer: Producer,
    admin: Admin,
    path: PathBuf,
    ledger: Ledger,
    notes: Journal<ledger::Line>,
    steps: Steps,
    standing: Standing,
    progress: Progress,
    began: Instant,
    limit: Duration,
}

impl Play {
    /// Starts the workers and waits until each is ready.
    pub(super) async fn set_up(options: &DemoArgs, server: &Server, dir: &Path) -> Result<Self, Failure> {
        let began = Instant::now();
        let url = server.url();
        let path = dir.join("ledger");
        let ledger = Ledger::append_to(&path).map_err(Failure::start)?;
        let notes = Journal::open(&path).map_err(Failure::start)?;
        let setup = Setup {
            url: &url,
            service: SERVICE,
            dir,
            ledger: &path,
            work: options.work_ms,
            keyspace_events: options.keyspace_events,
        };
        let workers = (1..=options.workers)
            .map(|number| Worker::start(number, &setup))
            .collect::<Result<_, _>>()
            .map_err(Failure::start)?;

        let builder = Client::builder(SERVICE).url(&url);
        // It waits for as long before it submits again what nobody has written back.
        let producer = builder.clone().lock_ttl(LOCK_TTL).connect_producer().await;
        let producer = producer
            .map_err(Failure::start)?
            .retain(KEPT_FOR, options.streams as usize);
        let producer = producer.await.map_err(Failure::start)?;
        let work = options.work_ms * options.streams / (SLOTS * u32::from(options.workers - 1));
        let mut play = Self {
            names: (1..=options.streams).map(|number| format!("stream-{number}")).collect(),
            sent: 0,
            workers,
            producer,
            admin: builder.connect_admin().await.map_err(Failure::start)?,
            ledger,
            notes,
            steps: Steps::default(),
            path,
            standing: Standing::default(),
            progress: Progress::new(options.streams.into(), options.no_progress),
            began,
            limit: OVERHEAD + 3 * work,
        };
        while !play.workers.iter().all(Worker::is_ready) {
            play.pause("not all workers became ready").await?;
        }
        play.progress.note(&format!(
            "{} workers on a private redis-server at {url}; locks live {} s (default 6 s)",
            play.workers.len(),
            LOCK_TTL.as_secs()
        ));
        Ok(play)
    }

    /// Redis loses its data if `chaos` is its server.
    pub(super) async fn perform(&mut self, chaos: Option<&mut Server>) -> Result<Tally, Failure> {
        let all = self.names.len();
        self.submit(if chaos.is_some() { all / 2 } else { all }).await?;
        while !self.workers.iter().all(|w| self.standing.finished_by(&w.name) > 0) {
            self.not_over_yet("before each worker had finished some")?;
            self.pause("not all workers finished some work").await?;
        }

        let killed = self.strike(0).await?;
        self.worker(0)?.kill();
        self.note_fault(&killed, "killed with SIGKILL");
        self.write_fault(&killed, ledger::KILL);
        self.standing.strip(&killed.worker);
        let stopped = self.strike(1).await?;
        self.note_fault(&stopped, "stopped with SIGSTOP");
        let since = Instant::now();
        while !self.may_wake(&stopped.worker, since.elapsed()) {
            self.tick().await?;
        }
        self.standing.strip(&stopped.worker);
        self.worker(1)?.thaw();
        self.progress.note(&format!("{} runs again (SIGCONT)", stopped.worker));
        self.write_fault(&stopped, "stop");

        let restart = match chaos {
            Some(server) => Some(self.lose_data(server).await?),
            None => None,
        };
        let mut in_time = true;
        while in_time && !self.is_over().await {
            self.tick().await?;
            in_time = self.began.elapsed() <= self.limit;
        }

        let unclean_exits = fleet::end(&mut self.workers).await;
        let status = self.admin.status().await.map_err(Failure::failed)?;
        self.progress.finish();
        if !in_time {
            self.say_what_is_missing(&status);
        }
        // Afresh and as a whole, when nobody writes any more.
        let notes: Vec<ledger::Line> = journal::read_all(&self.path).map_err(Failure::failed)?;
        let lines = Steps::default().read(&notes);
        let mut history = History::default();
        notes.into_iter().for_each(|note| history.apply(note));
        let mut events: Vec<Event> = Vec::new();
        for worker in &self.workers {
            events.extend(worker.events().map_err(Failure::failed)?);
        }
        Ok(Tally::count(
            &lines,
            &events,
            &Known {
                submitted: &self.names,
                history: &history,
                killed: &killed,
                stopped: &stopped,
                restart: restart.as_ref(),
                left: status.queued + status.requeued + status.pending + status.delayed,
                unclean_exits,
                took: self.began.elapsed(),
            },
        ))
    }

    /// Submits the streams up to this number.
    async fn submit(&mut self, upto: usize) -> Result<(), Failure> {
        let upto = upto.min(self.names.len());
        let mut left: Vec<usize> = (self.sent..upto).collect();
        let count = left.len();
        while !left.is_empty() {
            for at in &left {
                if let Some(name) = self.names.get(*at) {
                    self.ledger.submitting(SERVICE, *at as u64, name, 0);
                }
            }
            let items = left.iter().filter_map(|at| Some((self.names.get(*at)?, at + 1)));
            let results = self.producer.submit_many(items).await;
            let mut failed = Vec::new();
            for (at, result) in left.into_iter().zip(results) {
                let answer = match result {
                    Ok(submitted) => submitted.into(),
                    Err(e) => {
                        failed.push((at, e));
                        Answer::Maybe
                    }
                };
                self.ledger.submitted(SERVICE, at as u64, answer, None);
            }
            left = failed.iter().map(|(at, _)| *at).collect();
            // Redis may have been away. What was not answered may be repeated, as duplicates are coalesced.
            if let Some((_, e)) = failed.pop() {
                if self.began.elapsed() > self.limit {
                    return Err(Failure::failed(e));
                }
                self.progress
                    .note(&format!("{} to be submitted again: {e}", streams(left.len())));
                self.tick().await?;
            }
        }
        self.sent = upto;
        self.progress.note(&format!("submitted {}", streams(count)));
        Ok(())
    }

    /// Stops a worker in the middle of its work.
    async fn strike(&mut self, index: usize) -> Result<Fault, Failure> {
        loop {
            self.worker(index)?.freeze();
            let at = ledger::now();
            // It stands still, so what the ledger says now stays true.
            self.read()?;
            let worker = self.worker(index)?.name.clone();
            // What Redis has confirmed and the worker has not told yet, nobody would tell any more.
            if self.standing.in_work(&worker) > 0 && !self.standing.is_settling(&worker) {
                return Ok(Fault { worker, at });
            }
            self.worker(index)?.thaw();
            self.not_over_yet("before a worker could be struck in the middle of its work")?;
            self.pause("a worker that should be struck never had work").await?;
        }
    }

    fn note_fault(&self, fault: &Fault, what: &str) {
        let held = streams(self.standing.in_work(&fault.worker));
        self.progress
            .note(&format!("{} {what} in the middle of {held}", fault.worker));
    }

    /// Writes down what is over now.
    fn write_fault(&self, fault: &Fault, kind: &str) {
        let target = Target::Worker(fault.worker.clone());
        self.ledger.fault(SERVICE, kind, target, fault.at, false);
    }

    /// Well after its locks are gone and others have its streams, unless the others have no room for them.
    fn may_wake(&self, worker: &str, stopped_for: Duration) -> bool {
        stopped_for >= LOCK_TTL * 4 || stopped_for >= LOCK_TTL * 2 && self.standing.was_taken_over(worker)
    }

    /// All work is finished, and nothing is queued or pending. Not as long as Redis does not answer.
    async fn is_over(&self) -> bool {
        if self.standing.finished() < self.names.len() {
            return false;
        }
        let status = self.admin.status().await;
        status.is_ok_and(|status| status.queued + status.requeued + status.pending + status.delayed == 0)
    }

    fn say_what_is_missing(&self, status: &Status) {
        let missing: Vec<_> = self
            .names
            .iter()
            .filter(|name| !self.standing.is_finished(name))
            .map(String::as_str)
            .collect();
        let shown = missing.get(..MISSING_SHOWN.min(missing.len())).unwrap_or_default();
        output::say(&format!(
            "the limit of {:.0?} ran out: {} not finished ({}{}); queued {}, re-queued {}, pending {}",
            self.limit,
            streams(missing.len()),
            shown.join(", "),
            if missing.len() > shown.len() { ", …" } else { "" },
            status.queued,
            status.requeued,
            status.pending
        ));
    }

    /// Waits a moment for a condition.
    async fn pause(&mut self, otherwise: &str) -> Result<(), Failure> {
        if self.began.elapsed() > self.limit {
            return Err(Failure::failed(format!("{otherwise} within {:.0?}", self.limit)));
        }
        self.tick().await
    }

    async fn tick(&mut self) -> Result<(), Failure> {
        tokio::time::sleep(POLL).await;
        self.workers.iter_mut().try_for_each(Worker::check)?;
        self.read()?;
        let Self {
            progress,
            standing,
            workers,
            ..
        } = self;
        progress.show(standing.finished(), || describe(workers, standing));
        Ok(())
    }

    fn read(&mut self) -> Result<(), Failure> {
        let notes = self.notes.read().map_err(Failure::failed)?;
        self.standing.add(self.steps.read(&notes));
        for worker in &mut self.workers {
            self.standing.hear(worker.news().map_err(Failure::failed)?);
        }
        Ok(())
    }

    fn not_over_yet(&self, when: &str) -> Result<(), Failure> {
        if self.standing.finished() < self.sent {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "all work was finished {when}; try again with more --streams or --work-ms"
        )))
    }

    fn worker(&mut self, index: usize) -> Result<&mut Worker, Failure> {
        self.workers
            .get_mut(index)
            .ok_or_else(|| Failure::failed("there are too few workers"))
    }
}

fn describe(workers: &[Worker], standing: &Standing) -> String {
    let about = |worker: &Worker| {
        let state = match worker.state {
            State::Running => "",
            State::Stopped => ", stopped",
            State::Killed => ", killed",
        };
        format!("{} {} done{state}", worker.name, standing.finished_by(&worker.name))
    };
    workers.iter().map(about).collect::<Vec<_>>().join("; ")
}

fn streams(count: usize) -> String {
    let noun = if count == 1 { "stream" } else { "streams" };
    format!("{count} {noun}")
}
