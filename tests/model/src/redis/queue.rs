//! What waits: submits, reads, what is put back, what is due.

use super::{Body, Consumer, Drawn, Entry, Epoch, Id, Judged, Lane, Pending, Place, Redis};

impl Redis {
    /// XADD or ZADD.
    pub fn put(&mut self, drawn: &mut Drawn, body: Body, place: Place) -> Id {
        let id = drawn.id();
        self.entries.push(Entry {
            id,
            body,
            place,
            pending: None,
            lock: None,
        });
        id
    }

    /// The next life of an entry.
    pub(crate) fn put_again(&mut self, drawn: &mut Drawn, body: Body, place: Place) -> Id {
        let run = drawn.id + 1;
        self.put(drawn, Body { run, ..body }, place)
    }

    /// XREADGROUP for one entry, the front first. A blocked read is no script: neither epoch nor quiet time keep it back. What
    /// was written anew and claimed by force is beyond the last-delivered id, so it is read like new work, and then pending for
    /// the reader.
    pub fn read(&mut self, consumer: Consumer) -> Option<Entry> {
        if !self.group {
            return None;
        }
        for lane in [Lane::Front, Lane::Input] {
            let delivered = self.delivered[lane as usize];
            let next = self
                .entries
                .iter_mut()
                .filter(|e| e.place == Place::In(lane) && e.id > delivered)
                .min_by_key(|e| e.id);
            if let Some(entry) = next {
                entry.pending = Some(Pending { consumer, idle: 0 });
                self.delivered[lane as usize] = entry.id;
                return Some(*entry);
            }
        }
        None
    }

    /// promote.lua: what is due is queued. Its time has come whenever this is called.
    pub fn promote(&mut self, drawn: &mut Drawn, epoch: Epoch, id: Id) -> Judged<()> {
        if let Some(against) = self.not_now(epoch) {
            return against;
        }
        let due = self.entries.iter().position(|e| e.id == id);
        if let Some(at) = due {
            let entry = self.entries[at];
            if let Place::Delayed(lane) = entry.place {
                self.entries.remove(at);
                self.put_again(drawn, entry.body, Place::In(lane));
            }
        }
        Judged::Done(())
    }

    /// Whether an entry waits to be read.
    #[must_use]
    pub fn is_queued(&self, entry: &Entry) -> bool {
        match entry.place {
            Place::In(lane) => entry.pending.is_none() && (!self.group || entry.id > self.delivered[lane as usize]),
            Place::Delayed(_) => false,
        }
    }
}
