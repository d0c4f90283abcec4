//! Looks for what a read assigned and this process never saw.

use std::collections::HashSet;

use super::{Reader, Reserved};
use crate::clock::Moment;
use crate::id::{EntryId, Lane};
use crate::store::{Operation, StoreError};

/// Own pending entries looked at per call.
const AUDIT_PAGE: usize = 100;

impl Reader {
    /// Looks for entries pending under this name that no lease of this process ever had: what a read assigned whose
    /// reply was lost. It asks on the read connection, behind any read that is still on its way there, and between two
    /// reads, so that it can't overtake one. (A read on its way over a connection that was replaced it can overtake; what
    /// that one assigns is found by the next audit, or by a scan.)
    pub(super) async fn audit(&mut self, slots: &mut Reserved) -> Result<(), StoreError> {
        let mut found = Vec::new();
        for id in self.unknown().await? {
            let room = found.len() < slots.len();
            match self.store.body(id).await? {
                Some(raw) if room => found.push(raw.open()),
                // No slot for it, or no body: the release tells the two apart.
                _ => self.partition.hand_back(id, None, Operation::Release, None),
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        tracing::debug!(service = %self.partition.core.settings.service, entries = found.len(), "took up entries whose read had lost its answer");
        self.partition.core.metrics.adopted(found.len());
        let now = self.partition.session.current();
        self.admit(found, slots, now, Moment::now()).await
    }

    /// The last look: nothing that was read may wait for its idle time to run out.
    pub(super) async fn hand_back_the_rest(&self) {
        // It may be somebody's who is about to say so.
        if !self.partition.session.quiet_left().is_zero() {
            return;
        }
        match self.unknown().await {
            Ok(ids) => ids
                .into_iter()
                .for_each(|id| self.partition.hand_back(id, None, Operation::Release, None)),
            Err(e) => tracing::debug!(error = %e, "what was read last is left to the scan"),
        }
    }

    /// Entries pending under this consumer's name that this process does not know.
    async fn unknown(&self) -> Result<Vec<EntryId>, StoreError> {
        let mut unknown = Vec::new();
        let mut all = HashSet::new();
        for lane in Lane::ALL {
            let mut after = None;
            loop {
                let page = self.store.pending_of_mine(lane, after, AUDIT_PAGE).await?;
                after = page.last().map(|id| id.id);
                let full = page.len() == AUDIT_PAGE;
                all.extend(page.iter().copied());
                unknown.extend(page.into_iter().filter(|id| !self.partition.leases.knows(id)));
                if !full {
                    break;
                }
            }
        }
        self.partition.leases.still_pending(&all);
        Ok(unknown)
    }
}
