//! Reads work into free slots: reserve, read, acquire, tell.

mod admission;
mod audit;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;

use super::handle::WeakHandle;
use super::{Complaints, Partition, Slot};
use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::id::{Epoch, Lane, StreamId};
use crate::store::{Incarnation, Judged, Lines, Seize, Store, StoreError, Taken, Waited};

/// How long work handed out before waits at most for a worker whose only free slot waits for new work.
const ONE_SLOT_WAIT: Duration = Duration::from_millis(200);
/// How long a paused worker waits before it asks again.
const PAUSED_LOOK: Duration = Duration::from_millis(500);
const KNOCK: Duration = Duration::from_millis(20);
/// Between two requests to unblock where they are refused or not answered.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Reader {
    partition: Arc<Partition>,
    /// A connection of its own: whatever shares it would wait for the blocked read. So does each partition have one: a
    /// cluster refuses to read from two slots at once, also where one server holds both.
    lines: Lines,
    store: Store,
    /// How many there are, one per partition, that share the slots.
    readers: usize,
    incarnation: Option<Incarnation>,
    alive: WeakHandle,
    /// Set when a reply may have been lost: then entries may be pending here that this process never saw.
    audit_due: bool,
    audited: Moment,
    /// The last id that it was given, of each lane.
    given: [StreamId; 2],
    complaints: Complaints,
}

type Reserved = VecDeque<Slot>;

impl Reader {
    pub(crate) fn new(partition: Arc<Partition>, lines: Lines, readers: usize, alive: WeakHandle) -> Self {
        let store = partition.store_on(&lines, partition.core.settings.command_timeout);
        Self {
            partition,
            incarnation: store.line.incarnation(),
            lines,
            readers,
            store,
            alive,
            audit_due: false,
            audited: Moment::now(),
            given: Default::default(),
            complaints: Complaints::new(),
        }
    }

    /// Reads until the client closes or nobody listens any more.
    pub(crate) async fn run(mut self) {
        let (first, longest) = self.partition.core.settings.reconnect;
        let mut backoff = Backoff::new(first, longest);
        loop {
            // The read itself is not in a select: dropped, it would still assign what it finds. A shutdown unblocks it.
            let slots = tokio::select! {
                biased;
                () = self.leaving() => break,
                slots = async {
                    self.partition.reachable().await;
                    self.unless_paused().await;
                    self.unless_full().await;
                    // What was read then would have to wait, and may be somebody's who is about to say so.
                    self.unless_quiet().await;
                    self.reserve().await
                } => slots,
            };
            let Some(slots) = slots else { break };
            let incarnation = self.store.line.incarnation();
            if incarnation != self.incarnation {
                self.incarnation = incarnation;
                self.audit_due = true;
            }
            let span = tracing::debug_span!(
                "read", service = %self.partition.core.settings.service, partition = self.partition.number,
                slots = slots.len()
            );
            self.partition.health.asking();
            let round = self.round(slots).instrument(span).await;
            self.partition.heard(&round);
            match round {
                Ok(()) => {
                    self.partition.health.answered();
                    backoff.reset();
                    self.complaints.settled("work is read again");
                }
                Err(e) => {
                    self.trouble(&e).await;
                    let wait = backoff.draw();
                    tokio::select! {
                        () = self.leaving() => break,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
        self.hand_back_the_rest().await;
        self.lines.close(Duration::from_millis(200)).await;
    }

    /// Waits while this worker is paused, and looks again now and then: whoever takes a pause back doesn't know who waits.
    async fn unless_paused(&self) {
        if self.partition.pause.is_set() {
            let _ = tokio::time::timeout(PAUSED_LOOK, self.partition.pause.over()).await;
        }
    }

    async fn unless_quiet(&self) {
        let quiet = self.partition.session.quiet_left();
        if !quiet.is_zero() {
            self.partition.health.answered();
            tokio::time::sleep(quiet).await;
        }
    }

    /// A lease that was given up has no slot any more, but is remembered until Redis has said what became of it. A partition
    /// whose Redis answers reads and no settlements must not add to them without end.
    async fn unless_full(&self) {
        let leases = &self.partition.leases;
        let slots = self.partition.core.slots.count();
        let most = slots.saturating_mul(2);
        // Counted only where it can be: fewer slots than before may also be taken by what is held.
        if leases.len() <= most || leases.given_up() <= slots {
            return;
        }
        tracing::warn!(
            service = %self.partition.core.settings.service, partition = self.partition.number,
            "more streams than max_in_flight wait for Redis to take them back; no more are read until it has"
        );
        leases.at_most(most).await;
    }

    /// At least one free slot, and as many more as are free, up to a batch.
    async fn reserve(&self) -> Option<Reserved> {
        let slots = &self.partition.core.slots;
        let first = match slots.try_take() {
            Some(free) => free,
            None => {
                // Nothing is asked, however the last read ended: for as long as the leases last.
                self.partition.health.answered();
                slots.take().await?
            }
        };
        let mut reserved = Reserved::from([first]);
        while reserved.len() < self.partition.core.settings.read_batch {
            let Some(one) = slots.try_take() else { break };
            reserved.push_back(one);
        }
        Some(reserved)
    }

    async fn round(&mut self, mut slots: Reserved) -> Result<(), StoreError> {
        let health = self.partition.core.settings.health_interval;
        if self.audit_due || (!health.is_zero() && self.audited.elapsed() >= health) {
            self.partition.hello().await?;
            if !self.partition.session.quiet_left().is_zero() {
                self.audit_due = true;
                return Ok(());
            }
            // Before the audit, which asks for another one where it could not finish.
            self.audit_due = false;
            if let Err(e) = self.audit(&mut slots).await {
                self.audit_due = true;
                return Err(e);
            }
            self.audited = Moment::now();
            if slots.is_empty() {
                return Ok(());
            }
        }
        // Before anything is locked, and before the table is asked. Interleaving: it does not know an id, all is lost, a lease of
        // this process is written back under that very id, and the acquisition, under the new epoch, finds that lease's lock
        // and takes it for its own.
        let now = self.partition.session.current();
        let Waited { entries, start } = self.read(&now, &mut slots).await?;
        self.partition.health.read();
        for (lane, given) in Lane::ALL.into_iter().zip(&mut self.given) {
            let ids = entries.iter().map(|entry| entry.id).filter(|id| id.lane == lane);
            *given = ids.map(|id| id.id).max().unwrap_or_default().max(*given);
        }
        self.admit(entries, &mut slots, now, start).await?;
        // Whoever was handed something goes first on this thread; the next read would put its own connection before that.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// What waits is taken into all free slots at once, the front first. Only then is it worth waiting, for one entry per
    /// lane; with one free slot therefore in one lane, and briefly, as the other is only looked at in between. Briefly
    /// also where the readers of other partitions would have no slot meanwhile, and only when all of them have looked in
    /// vain: until then the slots go to the next, who may have a backlog.
    async fn read(&mut self, now: &(Epoch, u64), slots: &mut Reserved) -> Result<Waited, StoreError> {
        let (epoch, era) = now;
        let ttl = self.partition.core.settings.lock_ttl;
        let start = Moment::now();
        let read = |entries| Ok(Waited { entries, start });
        let taken = self.store.take(epoch, ttl, slots.len()).await?;
        // Else a worker would seem to be without an answer for as long as it waits for work.
        self.partition.health.read();
        match taken {
            Judged::Ok(Taken::Paused) => {
                self.partition.paused(true);
                return read(Vec::new());
            }
            Judged::Ok(Taken::Entries(entries)) => {
                self.partition.paused(false);
                if !entries.is_empty() {
                    self.partition.core.empty_takes.store(0, Ordering::Relaxed);
                    return read(entries);
                }
            }
            Judged::Quiet(left) => {
                self.partition.session.quiet_for(left);
                return read(Vec::new());
            }
            Judged::EpochChanged => {
                self.audit_due = true;
                self.partition.hello().await?;
                return read(Vec::new());
            }
        }
        let block = self.partition.core.settings.read_block;
        slots.truncate(Lane::ALL.len());
        let core = &self.partition.core;
        let scarce = self.readers > 1 && core.slots.free() + slots.len() <= self.readers;
        // One more than there are readers, so that it is not always the same one's turn to wait.
        if scarce && core.empty_takes.fetch_add(1, Ordering::Relaxed) < self.readers {
            return read(Vec::new());
        }
        core.empty_takes.store(0, Ordering::Relaxed);
        let brief = ONE_SLOT_WAIT.min(block);
        // Where a lease of another era may be unsettled, what is read has to be looked at before it is locked (`admit`).
        let seize = (!self.partition.leases.any_before(*era)).then_some(Seize {
            epoch,
            ttl,
            after: self.latest(),
        });
        match slots.len() {
            0 | 1 => self.wait_for_one(&[Lane::Input], brief, seize).await,
            _ if scarce => self.wait_for_one(&Lane::ALL, brief, seize).await,
            _ => self.wait_for_one(&Lane::ALL, block, seize).await,
        }
    }

    /// The last ids that this consumer was given, or has given itself: what is pending after them is new.
    fn latest(&self) -> [StreamId; 2] {
        let [front, input] = self.partition.leases.latest();
        [front.max(self.given[0]), input.max(self.given[1])]
    }

    /// A blocked read is never dropped, as it would go on assigning entries that nobody sees. At the end of the client it
    /// is unblocked instead, as often as it takes: a request can come just before the read blocks.
    async fn wait_for_one(
        &self,
        lanes: &[Lane],
        block: Duration,
        seize: Option<Seize<'_>>,
    ) -> Result<Waited, StoreError> {
        let read = self.store.wait_for_one(lanes, block, seize);
        tokio::pin!(read);
        let mut knock = tokio::time::interval(KNOCK);
        loop {
            let leaving = async {
                self.leaving().await;
                knock.tick().await;
            };
            tokio::select! {
                entries = &mut read => return entries,
                () = leaving => {
                    for id in self.store.connection_ids() {
                        if let Err(e) = self.partition.store.unblock(id).await {
                            tracing::debug!(error = %e, "a blocked read could not be ended early");
                            knock = tokio::time::interval_at(Instant::now() + PATIENCE, PATIENCE);
                        }
                    }
                }
            }
        }
    }

    /// Resolves when there is nobody to read for.
    async fn leaving(&self) {
        tokio::select! {
            () = self.partition.core.closing.cancelled() => {}
            () = self.partition.core.outbox.closed() => {}
        }
    }

    /// Heals what the error shows to be broken, and has the next round look for lost replies.
    async fn trouble(&mut self, error: &StoreError) {
        self.complaints.about(error, "no work can be read; trying again");
        self.audit_due = true;
        if error.is_no_group() {
            let _ = self.partition.hello().await;
        }
        // A server that stops while a read is blocked is not noticed by the client library. At once: what a read assigned
        // whose answer is lost is found over another connection only, and better before a peer's scan does and counts it.
        if error.is_timeout() {
            self.store.line.replace().await;
        }
    }
}
