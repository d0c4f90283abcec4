//! Room for leases, whose number may change while they are held.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of a worker: one per stream that it may hold.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    size: Mutex<Size>,
}

#[derive(Debug)]
struct Size {
    wanted: usize,
    /// Slots that are taken and have to go when they are given back.
    excess: usize,
}

/// A slot that is taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    slots: Arc<Slots>,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(count)),
            size: Mutex::new(Size {
                wanted: count,
                excess: 0,
            }),
        })
    }

    /// Waits for a free slot.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Slot> {
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        Some(self.slot(permit))
    }

    /// A slot, if one is free now.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(self.slot(permit))
    }

    fn slot(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        Slot {
            permit: Some(permit),
            slots: Arc::clone(self),
        }
    }

    pub(crate) fn free(&self) -> usize {
        self.free.available_permits()
    }

    pub(crate) fn count(&self) -> usize {
        self.size().wanted
    }

    /// Whether more are taken than there should be: then a slot that was reserved earlier is not to be used.
    pub(crate) fn exceeded(&self) -> bool {
        self.size().excess > 0
    }

    /// Changes their number. What is taken beyond it goes as it is given back.
    pub(crate) fn resize(&self, count: usize) {
        let mut size = self.size();
        let before = size.wanted;
        size.wanted = count;
        if count < before {
            let surplus = before - count;
            size.excess += surplus - self.free.forget_permits(surplus);
        } else {
            let kept = size.excess.min(count - before);
            size.excess -= kept;
            self.free.add_permits(count - before - kept);
        }
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut size = self.slots.size();
        if size.excess > 0 {
            size.excess -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn free_and_taken_always_make_up_the_number(steps in proptest::collection::vec((0_u8..3, 1_usize..6), 1..60)) {
            let slots = Slots::new(3);
            let mut taken = Vec::new();
            for (step, n) in steps {
                match step {
                    0 => taken.extend(slots.try_take()),
                    1 => drop(taken.pop()),
                    _ => slots.resize(n),
                }
                prop_assert_eq!(slots.free(), slots.count().saturating_sub(taken.len()));
                prop_assert_eq!(slots.exceeded(), taken.len() > slots.count());
            }
            taken.clear();
            prop_assert_eq!(slots.free(), slots.count());
        }
    }
}
