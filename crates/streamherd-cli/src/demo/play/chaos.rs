//! The Redis server that comes back without its data.

use std::time::Instant;

use streamherd_ledger::{Target, now};
use streamherd_testkit::Server;

use super::{Play, SERVICE, SLOTS, State, Worker, streams};
use crate::demo::tally::Restart;
use crate::failure::Failure;
use crate::human::now_ms;

impl Play {
    /// Has Redis lose everything while all workers that are left hold streams, and submits the rest.
    pub(super) async fn lose_data(&mut self, server: &mut Server) -> Result<Restart, Failure> {
        let running = self.workers.iter().filter(|worker| worker.state == State::Running);
        let slots = running.count() * SLOTS as usize;
        while !self.all_is_in_hand() {
            if self.standing.finished() >= self.sent {
                // So many are taken at once.
                self.submit(self.sent + slots).await?;
            }
            self.not_over_yet("before Redis could lose its data in the middle of it")?;
            self.pause("the workers never had all work in hand").await?;
        }

        // What only waits no worker knows of, but their producer does.
        self.submit(self.names.len() * 3 / 4).await?;
        let restart = self.restart_empty(server)?;
        while !self.all_running(|play, worker| play.standing.is_bereft(&worker.name)) {
            self.pause("not all workers noticed the data loss").await?;
        }
        self.progress.note("all workers noticed, and told Redis what they hold");
        self.submit(self.names.len()).await?;
        Ok(restart)
    }

    fn restart_empty(&mut self, server: &mut Server) -> Result<Restart, Failure> {
        let since = Instant::now();
        let at = now();
        let at_ms = now_ms();
        // On this task, as at the start.
        tokio::task::block_in_place(|| server.try_restart_empty()).map_err(Failure::failed)?;
        let back_ms = now_ms();
        self.ledger
            .fault(SERVICE, "restart without data", Target::All, at, true);
        self.progress.note(&format!(
            "redis-server was killed in the middle of {}, and came back empty after {:.2} s",
            streams(self.standing.in_work_anywhere()),
            since.elapsed().as_secs_f64()
        ));
        Ok(Restart { at_ms, back_ms })
    }

    fn all_is_in_hand(&self) -> bool {
        let sent = self.names.get(..self.sent).unwrap_or_default();
        self.standing.are_in_hand(sent)
    }

    fn all_running(&self, is_so: impl Fn(&Self, &Worker) -> bool) -> bool {
        let mut running = self.workers.iter().filter(|worker| worker.state == State::Running);
        running.all(|worker| is_so(self, worker))
    }
}
