//! The demo itself, step by step.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use streamherd::{Admin, Client, Producer, Status};
use streamherd_testkit::Server;

use super::fleet::{LOCK_TTL, SLOTS, Setup, State, Worker};
use super::ledger::{Ledger, Standing};
use super::progress::Progress;
use super::tally::{Fault, Known, Tally};
use crate::args::DemoArgs;
use crate::failure::Failure;
use crate::human::now_ms;

const SERVICE: &str = "demo";
const POLL: Duration = Duration::from_millis(20);
/// For starting, recovering and ending, besides the work itself.
const OVERHEAD: Duration = Duration::from_secs(60);
/// For workers that have nothing left to do.
const FAREWELL: Duration = Duration::from_secs(20);
const MISSING_SHOWN: usize = 10;

pub(super) struct Play {
    names: Vec<String>,
    workers: Vec<Worker>,
    producer: Producer,
    admin: Admin,
    path: PathBuf,
    ledger: Ledger,
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
        let ledger = Ledger::create(&path).map_err(Failure::start)?;
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
        let work = options.work_ms * options.streams / (SLOTS * u32::from(options.workers - 1));
        let mut play = Self {
            names: (1..=options.streams).map(|number| format!("stream-{number}")).collect(),
            workers,
            producer: builder.clone().connect_producer().await.map_err(Failure::start)?,
            admin: builder.connect_admin().await.map_err(Failure::start)?,
            ledger,
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

    pub(super) async fn perform(&mut self) -> Result<Tally, Failure> {
        self.submit().await?;
        while !self.workers.iter().all(|w| self.standing.finished_by(&w.name) > 0) {
            self.not_over_yet("before each worker had finished some")?;
            self.pause("not all workers finished some work").await?;
        }

        let killed = self.strike(0).await?;
        self.worker(0)?.kill();
        self.note_fault(&killed, "killed with SIGKILL");
        let stopped = self.strike(1).await?;
        self.note_fault(&stopped, "stopped with SIGSTOP");

        let since = Instant::now();
        let mut in_time = true;
        loop {
            if self.worker(1)?.state == State::Stopped {
                if self.may_wake(&stopped.worker, since.elapsed()) {
                    self.worker(1)?.thaw();
                    self.progress.note(&format!("{} runs again (SIGCONT)", stopped.worker));
                }
            } else if self.is_over().await? {
                break;
            }
            if self.began.elapsed() > self.limit {
                in_time = false;
                break;
            }
            self.tick().await?;
        }

        let unclean_exits = self.end_workers().await?;
        let status = self.status().await?;
        self.progress.finish();
        if !in_time {
            self.say_what_is_missing(&status);
        }
        // Afresh and as a whole, when nobody writes any more.
        let lines = Ledger::open(&self.path)
            .and_then(|mut ledger| ledger.read())
            .map_err(Failure::failed)?;
        Ok(Tally::count(
            &lines,
            &Known {
                submitted: &self.names,
                killed: &killed,
                stopped: &stopped,
                status: &status,
                unclean_exits,
                took: self.began.elapsed(),
            },
        ))
    }

    async fn submit(&self) -> Result<(), Failure> {
        let items = self
            .names
            .iter()
            .zip(1..)
            .map(|(name, number): (_, u32)| (name, number));
        for result in self.producer.submit_many(items).await {
            result.map_err(Failure::failed)?;
        }
        self.progress.note(&format!("submitted {} streams", self.names.len()));
        Ok(())
    }

    /// Stops a worker in the middle of its work.
    async fn strike(&mut self, index: usize) -> Result<Fault, Failure> {
        loop {
            self.worker(index)?.freeze();
            let at_ms = now_ms();
            // It stands still, so what the ledger says now stays true.
            self.read()?;
            let worker = self.worker(index)?.name.clone();
            if self.standing.in_work(&worker) > 0 {
                return Ok(Fault { worker, at_ms });
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

    /// Well after its locks are gone and others have its streams, unless the others have no room for them.
    fn may_wake(&self, worker: &str, stopped_for: Duration) -> bool {
        stopped_for >= LOCK_TTL * 4 || stopped_for >= LOCK_TTL * 2 && self.standing.was_taken_over(worker)
    }

    /// All work is finished, and nothing is queued or pending.
    async fn is_over(&self) -> Result<bool, Failure> {
        if self.standing.finished() < self.names.len() {
            return Ok(false);
        }
        let status = self.status().await?;
        Ok(status.queued + status.requeued + status.pending + status.delayed == 0)
    }

    /// Ends the workers that are left; returns how many did not end with 0.
    async fn end_workers(&mut self) -> Result<usize, Failure> {
        let mut left: Vec<&mut Worker> = self
            .workers
            .iter_mut()
            .filter(|worker| worker.state != State::Killed)
            .collect();
        for worker in &mut left {
            if worker.state == State::Stopped {
                worker.thaw();
            }
            worker.terminate();
        }
        let end = Instant::now() + FAREWELL;
        let mut unclean = 0;
        for worker in left {
            let status = loop {
                let status = worker.ended();
                if status.is_some() || Instant::now() >= end {
                    break status;
                }
                tokio::time::sleep(POLL).await;
            };
            if status.is_none_or(|status| !status.success()) {
                unclean += 1;
                let ending = status.map_or_else(|| "still runs".to_owned(), |status| format!("ended with {status}"));
                eprintln!("{} {ending}; the end of its log:\n{}", worker.name, worker.log_tail());
                // It may still hold streams, and is not to change what is counted next.
                worker.kill();
            }
        }
        Ok(unclean)
    }

    fn say_what_is_missing(&self, status: &Status) {
        let missing: Vec<_> = self
            .names
            .iter()
            .filter(|name| !self.standing.is_finished(name))
            .map(String::as_str)
            .collect();
        let shown = missing.get(..MISSING_SHOWN.min(missing.len())).unwrap_or_default();
        eprintln!(
            "the limit of {:.0?} ran out: {} not finished ({}{}); queued {}, re-queued {}, pending {}",
            self.limit,
            streams(missing.len()),
            shown.join(", "),
            if missing.len() > shown.len() { ", …" } else { "" },
            status.queued,
            status.requeued,
            status.pending
        );
    }

    async fn status(&self) -> Result<Status, Failure> {
        self.admin.status().await.map_err(Failure::failed)
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
        let lines = self.ledger.read().map_err(Failure::failed)?;
        self.standing.add(lines);
        Ok(())
    }

    fn not_over_yet(&self, when: &str) -> Result<(), Failure> {
        if self.standing.finished() < self.names.len() {
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
