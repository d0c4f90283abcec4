//! What is kept in one partition.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Kept, News, Number, id_of};
use crate::clock::Moment;
use crate::store::{Identity, Resubmitted, Stands};

#[derive(Debug)]
pub(super) struct Part {
    kept: BTreeMap<Number, Kept>,
    /// The newest of each coalesced input: as a run of its own, and otherwise. An input says its name, too.
    newest: HashMap<(bool, Arc<str>), Number>,
    identity: Identity,
    era: u64,
    /// When it was last noticed that writes may be lost.
    noticed: Moment,
}

impl Part {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            kept: BTreeMap::new(),
            newest: HashMap::new(),
            identity,
            era: 1,
            noticed: Moment::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) const fn era(&self) -> u64 {
        self.era
    }

    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn first(&self) -> Option<Number> {
        self.kept.keys().next().copied()
    }

    pub(super) fn get(&self, number: Number) -> Option<&Kept> {
        self.kept.get(&number)
    }

    pub(super) fn keep(&mut self, number: Number, kept: Kept) {
        if kept.name.is_some() {
            for own in [false, true] {
                let older = self.newest.get(&(own, Arc::clone(&kept.digest))).copied();
                if let Some(older) = older
                    && self.get(older).is_some_and(|older| older.is_replaced_by(&kept))
                {
                    self.remove(older);
                }
            }
            self.newest.insert(slot(&kept), number);
        }
        self.kept.insert(number, kept);
    }

    pub(super) fn remove(&mut self, number: Number) {
        if let Some(kept) = self.kept.remove(&number) {
            let slot = slot(&kept);
            if self.newest.get(&slot) == Some(&number) {
                self.newest.remove(&slot);
            }
        }
    }

    pub(super) fn page(&self, after: Number, most: usize, bytes: usize) -> Vec<(Number, Kept)> {
        let mut left = bytes;
        let some = self.kept.range(after + 1..).take(most).take_while(|(_, kept)| {
            let fits = left > 0;
            left = left.saturating_sub(kept.input.len());
            fits
        });
        some.map(|(number, kept)| (*number, kept.clone())).collect()
    }

    /// Learns which store it is that answered.
    ///
    /// Under another epoch, or another process of the server, writes may be lost. A first epoch means that the first worker
    /// has come, and by itself no loss: what is gone from now on may be finished. That the epoch is gone is one.
    pub(super) fn hear(&mut self, identity: &Identity, now: Moment) -> News {
        let known = &mut self.identity;
        let other_epoch = known.epoch.is_some() && known.epoch != identity.epoch;
        // Who can't see the process, or only now and then, has the epoch to go by.
        let other_run = matches!((&known.run, &identity.run), (Some(known), Some(run)) if known != run);
        let first_worker = known.epoch.is_none() && identity.epoch.is_some();
        known.epoch.clone_from(&identity.epoch);
        if identity.run.is_some() {
            known.run.clone_from(&identity.run);
        }
        if other_epoch || other_run {
            self.era += 1;
            self.noticed = now;
            return News::MaybeLost;
        }
        if first_worker {
            // Whoever has come may have been here before, and be about to write back what it holds.
            self.noticed = now;
        }
        News::Nothing
    }

    /// Concludes from how a stream stands what has become of it.
    pub(super) fn judge(&mut self, number: Number, stands: Stands, now: Moment) {
        let era = self.era;
        let Some(kept) = self.kept.get_mut(&number) else { return };
        match stands {
            Stands::Queued => {
                // The run that is to serve the wish has yet to begin, and is as good as its own from now on. Where
                // deliveries may be lost, it may be the run that the wish was to follow.
                if kept.era == era && kept.answer == Answer::Noted {
                    kept.answer = Answer::Served;
                }
                kept.era = era;
            }
            Stands::Noted => kept.era = era,
            // The run that is held began before the wish: where that is lost, it looks as if it had been served.
            Stands::Held if kept.answer == Answer::Noted => {}
            Stands::Held => kept.era = era,
            Stands::Gone if kept.era < era => {}
            // Nobody is there who could have finished it.
            Stands::Gone if self.identity.epoch.is_none() => {
                kept.era = 0;
                if self.kept.values().filter(|kept| kept.era < era).nth(1).is_none() {
                    self.noticed = now;
                }
            }
            Stands::Gone => self.remove(number),
            Stands::Later | Stands::Unknown => {}
        }
    }

    pub(super) fn expire(&mut self, now: Moment, duration: Duration) {
        let old = self.kept.iter().take_while(|(_, kept)| kept.accepted + duration <= now);
        let old = old.filter(|(_, kept)| kept.era == self.era).map(|(number, _)| *number);
        for number in old.collect::<Vec<_>>() {
            self.remove(number);
        }
    }

    pub(super) fn lost_since(&self) -> Option<Moment> {
        let lost = self.kept.values().any(|kept| kept.era < self.era);
        lost.then_some(self.noticed)
    }

    pub(super) fn lost(&self) -> Vec<(Number, Option<Arc<str>>)> {
        let mut before: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        let mut lost = Vec::new();
        for (number, kept) in &self.kept {
            let name = kept.name.clone();
            let older = name.and_then(|name| before.insert(name, Arc::clone(&kept.digest)));
            if kept.era < self.era {
                lost.push((*number, older));
            }
        }
        lost
    }

    pub(super) fn resubmitted(&mut self, number: Number, era: u64, outcome: &Resubmitted) {
        let Some(kept) = self.kept.get_mut(&number) else { return };
        let slot_before = slot(kept);
        match outcome {
            Resubmitted::There => {}
            Resubmitted::Taken(reference) => kept.reference = *reference,
            Resubmitted::New(reference) => {
                kept.reference = *reference;
                // One that had none has an id of its own now; the others are known by the first one that they were given.
                if kept.answer.origin().is_none() {
                    kept.answer = Answer::New(id_of(*reference));
                }
            }
            Resubmitted::Coalesced { reference, noted } => {
                kept.reference = *reference;
                kept.answer = if *noted { Answer::Noted } else { Answer::Served };
            }
            Resubmitted::Superseded | Resubmitted::Finished => return self.remove(number),
            Resubmitted::Later | Resubmitted::Failed(_) => return,
        }
        kept.era = era;
        let slot = slot(kept);
        if slot != slot_before && kept.name.is_some() {
            self.newest.remove(&slot_before);
            self.newest.insert(slot, number);
        }
    }
}

fn slot(kept: &Kept) -> (bool, Arc<str>) {
    (kept.answer.origin().is_some(), Arc::clone(&kept.digest))
}
