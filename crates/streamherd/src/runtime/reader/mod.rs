//! Reads work into free slots: reserve, read, acquire, tell.

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
use crate::dead_letter::DeadLetterReason;
use crate::entry::{Entry, Fields, Poison};
use crate::id::{EntryId, Epoch, Lane, StreamId};
use crate::lease::Lease;
use crate::lock::Held;
use crate::notification::Notification;
use crate::store::{
    Acquired, Incarnation, Judged, Lines, Locked, Operation, Seize, Store, StoreError, Taken, TakenEntry, Waited,
};

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

/// What was read and may become a lease.
struct Admitted {
    entry: Entry,
    slot: Slot,
    /// What became of its lock, and when the call was sent that says so. [`None`] where nobody has tried yet.
    acquired: Option<(Acquired, Moment)>,
}

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

    /// Makes leases of what was read, under the epoch and the era that it was read in; locks that it has got count from
    /// `start`. What fails stays pending under this name, and the next audit looks again.
    async fn admit(
        &mut self,
        entries: Vec<TakenEntry>,
        slots: &mut Reserved,
        (epoch, era): (Epoch, u64),
        start: Moment,
    ) -> Result<(), StoreError> {
        let partition = Arc::clone(&self.partition);
        let core = &partition.core;
        slots.truncate(entries.len());
        core.metrics.read(entries.iter().map(|entry| entry.id.lane));
        let mut leases = Vec::with_capacity(entries.len());
        for TakenEntry { id, fields, locked } in entries {
            let Some((entry, slot)) = self.readable(id, fields, slots) else {
                continue;
            };
            let acquired = match locked {
                Locked::Mine(token) => Some((Acquired::Ok(token), start)),
                Locked::Held => Some((Acquired::Held, start)),
                Locked::Open => None,
            };
            leases.push(Admitted { entry, slot, acquired });
        }
        // What a lease of another era is told of is left to its settlement. Interleaving: that lease was written back, as an entry
        // with an id of its own, and nobody heard of it before its deadline. Its lock is ours, so acquiring it would make a
        // second lease with the same token, which the settlement would end under its handler.
        let later_life = |one: &Admitted| one.acquired.is_none() && one.entry.is_later_life();
        if leases.iter().any(later_life) {
            let unsettled = partition.leases.origins_before(era);
            let all = leases.len();
            leases.retain(|one| !(later_life(one) && unsettled.contains(&one.entry.origin)));
            self.audit_due |= leases.len() < all;
        }
        // What could be acquired is handed out whatever becomes of the rest, and in the order it was read in; and it is in the
        // table before hello is said, which has all that is there restored.
        let acquired = self.acquire(&epoch, &mut leases).await;
        let adopted = self.adopt(leases, era);
        if matches!(&acquired, Err(e) if e.is_epoch_changed()) {
            return partition.hello().await;
        }
        adopted.and(acquired)
    }

    /// Acquires what was read and not locked by that.
    async fn acquire(&mut self, epoch: &Epoch, leases: &mut [Admitted]) -> Result<(), StoreError> {
        let open = leases.iter_mut().filter(|one| one.acquired.is_none());
        let ids: Vec<_> = open.map(|one| one.entry.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let partition = &self.partition;
        let start = Moment::now();
        let ttl = partition.core.settings.lock_ttl;
        match partition.leasing.acquire(epoch, ttl, &ids).await {
            Ok(Judged::Ok(outcomes)) => {
                let open = leases.iter_mut().filter(|one| one.acquired.is_none());
                for (one, outcome) in open.zip(outcomes) {
                    one.acquired = Some((outcome, start));
                }
                Ok(())
            }
            // Whoever holds what was read takes it back meanwhile; what is left here then, the next audit takes up.
            Ok(Judged::Quiet(left)) => {
                self.audit_due = true;
                partition.session.quiet_for(left);
                Ok(())
            }
            Ok(Judged::EpochChanged) => {
                self.audit_due = true;
                Err(StoreError::epoch_changed("acquire"))
            }
            Err(e) => {
                self.audit_due = true;
                Err(e)
            }
        }
    }

    /// What was read as an entry with a slot. [`None`] where it can't be a lease: it is handed back, or left alone.
    fn readable(&self, id: EntryId, fields: Result<Fields, Poison>, slots: &mut Reserved) -> Option<(Entry, Slot)> {
        let partition = &self.partition;
        let core = &partition.core;
        if partition.leases.knows(&id) {
            // The group was reset, and this worker was given again what it holds. A second lease on it would have the
            // same token, and nobody would renew the first.
            return None;
        }
        let leaving = core.closing.is_cancelled() || core.outbox.is_closed();
        // A slot may be reserved that is not there any more.
        let slot = slots.pop_front().filter(|_| !leaving && !core.slots.exceeded());
        let Some(slot) = slot else {
            partition.hand_back(id, None, Operation::Release, None);
            return None;
        };
        match fields.and_then(|fields| Entry::parse(id, fields)) {
            Ok(entry) => Some((entry, slot)),
            Err(poison) => {
                let (reason, error) = match poison {
                    Poison::Unparseable(error) => (DeadLetterReason::Unparseable, error),
                    Poison::TooLarge(error) => (DeadLetterReason::TooLarge, error),
                };
                tracing::warn!(
                    service = %core.settings.service, entry = %id, %reason, error,
                    "an entry can't be read and goes to the dead letters"
                );
                // With its slot: where dead letters can't be written, poison must not be read without end.
                partition.hand_back(id, None, Operation::DeadLetter { reason, error }, Some(slot));
                None
            }
        }
    }

    /// Makes leases of what was acquired, and tells of them.
    fn adopt(&mut self, admitted: Vec<Admitted>, era: u64) -> Result<(), StoreError> {
        let partition = &self.partition;
        let core = &partition.core;
        let mut failed = None;
        let outcomes = admitted.iter().filter_map(|one| one.acquired.as_ref());
        core.metrics.acquired(outcomes.map(|(outcome, _)| outcome));
        for Admitted { entry, slot, acquired } in admitted {
            let Some((outcome, start)) = acquired else { continue };
            let deadline = core.deadline(start);
            match outcome {
                Acquired::Ok(token) => {
                    let Some(alive) = self.alive.upgrade() else {
                        partition.hand_back(entry.id, Some(token), Operation::Release, None);
                        continue;
                    };
                    // Into the table first: from there the heartbeat keeps it alive however long it waits to be received.
                    let held = Arc::new(Held::new(entry, token, era, start, deadline));
                    partition.leases.insert(Arc::clone(&held));
                    let lease = Lease::new(held, Arc::clone(partition), slot, alive);
                    lease.span().in_scope(|| tracing::debug!("stream added"));
                    core.outbox.send(Notification::StreamAdded(lease));
                }
                // Re-queued while this worker stood still between its read and its lock: somebody else's now.
                Acquired::Gone => {}
                Acquired::Paused => {
                    partition.paused(true);
                    partition.hand_back(entry.id, None, Operation::Release, None);
                }
                // Its owner lives. If it dies, its lock expires and the scan finds the entry.
                Acquired::Held => {}
                Acquired::Failed(e) => {
                    tracing::debug!(error = %e, entry = %entry.id, "an entry could not be acquired; trying again");
                    self.audit_due = true;
                    failed = Some(e);
                }
            }
        }
        failed.map_or(Ok(()), Err)
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
