//! Endings: every done, retry, dead letter and release of this worker goes through one task, in numbered batches of
//! which one is outstanding at a time, and is repeated until Redis has said what became of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use crate::backoff::Backoff;
use crate::error::{DisownedReason, LeaseLost, SettleError};
use crate::id::{EntryId, Reference, Token};
use crate::lease::Settled;
use crate::lock::{Held, Phase};
use crate::runtime::{Partition, Slot};
use crate::store::{Judged, Operation, SettleLimits, SettleOutcome, SettleStep, StoreError};

/// Settlements per script call, and how many of them may be anything but done, which costs Redis a tenth: below 2 ms of it.
const STEPS_PER_CALL: usize = 500;
const DEAR_STEPS_PER_CALL: usize = 100;
/// And so many bytes of what is told from memory.
const BYTES_PER_CALL: usize = 256 * 1024;
/// Of which so many are kept for what has to be tried again.
const AGAIN_PER_CALL: usize = 20;

/// A request to end the work on an entry.
pub(crate) struct Settlement {
    pub(crate) step: SettleStep,
    /// The lease that it ends, if the entry became one.
    pub(crate) held: Option<Arc<Held>>,
    /// Who waits for the outcome, if anybody.
    pub(crate) reply: Option<oneshot::Sender<Result<Settled, SettleError>>>,
    /// The slot that is free again once the outcome is known.
    pub(crate) slot: Option<Slot>,
}

impl Settlement {
    /// The end of a lease, for which nobody waits.
    pub(crate) fn of(held: &Arc<Held>, operation: Operation) -> Self {
        Self {
            step: SettleStep {
                id: held.id(),
                token: Some(held.token),
                coalesced: held.entry.coalesced_name(),
                operation,
                memory: None,
            },
            held: Some(Arc::clone(held)),
            reply: None,
            slot: None,
        }
    }

    /// The end of an entry that never became a lease.
    pub(crate) const fn of_entry(id: EntryId, token: Option<Token>, operation: Operation) -> Self {
        Self {
            step: SettleStep {
                id,
                token,
                coalesced: None,
                operation,
                memory: None,
            },
            held: None,
            reply: None,
            slot: None,
        }
    }

    /// Whether the store has changed since it last knew the lease.
    fn may_be_lost(&self, era: u64) -> bool {
        self.held.as_ref().is_some_and(|held| held.era() < era)
    }

    /// What is to be sent under the epoch with that number: of an entry as it is called now.
    fn step_in(&mut self, era: u64, write_back: bool) -> &SettleStep {
        let lost = self.may_be_lost(era);
        if let Some(held) = &self.held {
            self.step.id = held.id();
            // Finished is finished, also for those who write nothing back.
            let tells = lost && (write_back || self.step.operation == Operation::Done);
            self.step.memory = tells.then(|| held.entry.fields_of_old());
        }
        &self.step
    }
}

/// The task that carries settlements out.
pub(crate) struct Settler {
    partition: Arc<Partition>,
    inbox: mpsc::UnboundedReceiver<Settlement>,
    number: u64,
}

impl Settler {
    pub(crate) const fn new(partition: Arc<Partition>, inbox: mpsc::UnboundedReceiver<Settlement>) -> Self {
        Self {
            partition,
            inbox,
            number: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        let settings = self.partition.core.settings.clone();
        let mut backoff = Backoff::new(settings.reconnect.0, settings.reconnect.1);
        let mut left_over = VecDeque::new();
        loop {
            let mut batch = Vec::new();
            // New ones first: settlements that can't be carried out at present (out of memory) must not keep a done from
            // being carried out, which needs no memory and may free some.
            if left_over.is_empty() {
                if self.inbox.recv_many(&mut batch, STEPS_PER_CALL).await == 0 {
                    return;
                }
            } else {
                batch.extend(left_over.drain(..left_over.len().min(AGAIN_PER_CALL)));
                while batch.len() < STEPS_PER_CALL {
                    let Ok(new) = self.inbox.try_recv() else { break };
                    batch.push(new);
                }
                let room = STEPS_PER_CALL - batch.len();
                batch.extend(left_over.drain(..room.min(left_over.len())));
            }
            // Redis asks for memory only before a script's first write.
            batch.sort_by_key(|settlement| settlement.step.operation != Operation::Done);
            self.number += 1;
            let span = tracing::debug_span!(
                "settle", service = %settings.service, batch = self.number, entries = batch.len()
            );
            let (left, trouble) = self.settle(batch, &mut backoff).instrument(span).await;
            left_over.extend(left);
            if trouble {
                tokio::time::sleep(backoff.draw()).await;
            } else {
                backoff.reset();
            }
        }
    }

    /// Sends one batch, again and again under the same number, until Redis answers it. Returns what has to be tried
    /// again under another number, and whether to wait before that.
    async fn settle(&self, mut batch: Vec<Settlement>, backoff: &mut Backoff) -> (Vec<Settlement>, bool) {
        let partition = &self.partition;
        let core = &partition.core;
        let limits = SettleLimits {
            max_failures: core.settings.recovery.max_failures,
            dlq_max_len: core.settings.recovery.dlq_max_len,
        };
        // Read first: whoever restores leases meanwhile, and so gives them other ids, makes it another epoch.
        let (epoch, era) = partition.session.current();
        let mut steps: Vec<SettleStep> = Vec::with_capacity(batch.len());
        let (mut bytes, mut dear) = (0, 0);
        for one in &mut batch {
            let step = one.step_in(era, core.settings.recovery.write_back);
            bytes += step.remembered();
            dear += usize::from(!step.is_plainly_done());
            if (bytes > BYTES_PER_CALL || dear > DEAR_STEPS_PER_CALL) && !steps.is_empty() {
                break;
            }
            steps.push(step.clone());
        }
        let mut left = batch.split_off(steps.len());
        for held in batch.iter().filter_map(|one| one.held.as_ref()) {
            held.sent_in(self.number);
        }
        let outcomes = loop {
            partition.reachable().await;
            let settled = partition.leasing.settle(&epoch, self.number, limits, &steps).await;
            partition.heard(&settled);
            let problem = match settled {
                Ok(Judged::Ok(outcomes)) => break outcomes,
                // Without a receipt: nothing of it was carried out, and all may be different now. So it is put together
                // anew, under another number.
                Ok(Judged::EpochChanged | Judged::Quiet(_)) => {
                    let known = partition.session.current().0 != epoch;
                    match if known { Ok(()) } else { partition.hello().await } {
                        Ok(()) => {
                            not_sent(&batch);
                            batch.extend(left);
                            return (batch, false);
                        }
                        Err(e) => e,
                    }
                }
                Err(e) => e,
            };
            if !problem.is_transient() {
                tracing::error!(error = %problem, "Redis refuses settlements; the entries will be recovered by the scan");
                for settlement in batch.into_iter().chain(left) {
                    self.resolve(settlement, Err(SettleError::Store(problem.again())));
                }
                return (Vec::new(), true);
            }
            tracing::debug!(error = %problem, "a settlement was not answered; asking again");
            tokio::time::sleep(backoff.draw()).await;
        };
        let mut trouble = false;
        let mut unknown = false;
        let operations = batch.iter().map(|settlement| settlement.step.operation.name());
        core.metrics.settled(operations.zip(&outcomes));
        for (settlement, outcome) in batch.into_iter().zip(outcomes) {
            let id = settlement.step.id;
            match outcome {
                SettleOutcome::Ok(waits) => {
                    let settled = match waits {
                        None => Settled::Done,
                        Some(Reference::Queued(_)) => Settled::Requeued,
                        Some(Reference::Delayed(_)) => {
                            if let Operation::Retry { delay, .. } = settlement.step.operation {
                                partition.due.within(delay);
                            }
                            Settled::Delayed
                        }
                    };
                    self.resolve(settlement, Ok(settled));
                }
                SettleOutcome::DeadLettered { reason, trimmed } => {
                    core.dead_lettered(id, reason, trimmed);
                    self.resolve(settlement, Ok(Settled::DeadLettered { reason }));
                }
                SettleOutcome::Disowned => {
                    let withheld = settlement.step.memory.is_none() && settlement.may_be_lost(era);
                    let reason = if withheld {
                        DisownedReason::DataLoss
                    } else {
                        DisownedReason::TakenOver
                    };
                    self.resolve(settlement, Err(LeaseLost { id, reason }.into()));
                }
                SettleOutcome::Vanished => {
                    core.vanished(id);
                    self.resolve(settlement, Err(SettleError::Vanished { id }));
                }
                SettleOutcome::Later => left.push(settlement),
                SettleOutcome::Again => {
                    unknown = true;
                    left.push(settlement);
                }
                SettleOutcome::Failed(e) if e.is_transient() => {
                    trouble = true;
                    left.push(settlement);
                }
                SettleOutcome::Failed(e) => {
                    tracing::error!(error = %e, entry = %id, "an entry could not be settled; the scan will try");
                    self.resolve(settlement, Err(SettleError::Store(e)));
                }
            }
        }
        not_sent(&left);
        if unknown {
            trouble |= partition.hello().await.is_err();
        }
        (left, trouble)
    }

    fn resolve(&self, settlement: Settlement, outcome: Result<Settled, SettleError>) {
        // What ended before it was a lease, or as one that was lost, is not told twice.
        let held = settlement.held.as_ref();
        if held.is_some_and(|held| !matches!(held.phase(), Phase::Disowned(_))) {
            let totals = &self.partition.core.totals;
            match &outcome {
                Ok(settled) => totals.count(&settlement.step.operation, settled),
                Err(SettleError::Disowned(_)) => totals.count_lost(),
                Err(_) => {}
            }
        }
        // A shutdown reads the count when the table is empty.
        if self.partition.core.closing.is_cancelled() {
            match &outcome {
                Ok(settled) => self.partition.core.endings.count(&settlement.step.operation, settled),
                Err(SettleError::Store(_)) => self.partition.core.endings.count_refused(),
                Err(_) => {}
            }
        }
        // First out of the table and out of the slot, so that whoever sees the answer sees the room too.
        let leases = &self.partition.leases;
        match (&settlement.held, matches!(outcome, Err(SettleError::Store(_)))) {
            (Some(held), false) => leases.remove_held(held),
            (Some(held), true) => leases.refuse_held(held),
            (None, false) => leases.remove(&settlement.step.id),
            (None, true) => leases.refuse(settlement.step.id),
        }
        drop(settlement.slot);
        if let Some(reply) = settlement.reply {
            let _ = reply.send(outcome);
        }
    }
}

/// The receipt of a batch says nothing of them: a restore must not take them for settled.
fn not_sent(settlements: &[Settlement]) {
    for held in settlements.iter().filter_map(|one| one.held.as_ref()) {
        held.sent_in(0);
    }
}

impl StoreError {
    /// Worth repeating: the same command may succeed later without anybody changing rights or data.
    pub(crate) const fn is_transient(&self) -> bool {
        self.is_timeout() || self.is_disconnected() || self.is_not_ready() || self.is_out_of_memory() || self.is_login()
    }
}

/// How long what is under way at a shutdown may take after its deadline.
pub(crate) const LAST_CALL: Duration = Duration::from_secs(2);
