use std::ops::RangeInclusive;

use crate::cluster::slot::SLOTS;
use crate::cluster::{Cluster, DEADLINE};
use crate::contact::Contact;
use crate::eventually::eventually_blocking;
use crate::node::must;
use crate::raw::RawClient;
use crate::reply::Reply;

const KEYS_PER_MOVE: usize = 100;

/// Slots on their way from one master to another: the source answers for the keys it still has and sends clients on with
/// `ASK` for the others.
///
/// It stays like that until [`finish`](Self::finish); dropping it leaves the slots half-way, as an operator's tool does
/// that dies. It is free of the [`Cluster`], so that nodes can be killed meanwhile and another thread can go on with it.
/// Replicas know nothing of it: one that is promoted meanwhile has forgotten that the slots are moving. Begin a new one
/// then, from or to the promoted node. Until then the target of a source that was replaced does not believe it: it says
/// `cluster_state:fail` (7.0.15), so the cluster is not [whole](Cluster::wait_until_whole).
#[derive(Debug)]
#[must_use]
pub struct Migration {
    slots: RangeInclusive<u16>,
    from: Peer,
    to: Peer,
    others: Vec<Contact>,
}

#[derive(Debug)]
struct Peer {
    id: String,
    contact: Contact,
}

impl Migration {
    /// Moves up to `count` keys of a slot, and returns how many there were to move.
    ///
    /// # Panics
    ///
    /// If the source does not answer, or cannot reach the target within 30 s.
    #[expect(
        clippy::must_use_candidate,
        reason = "a test that moves a known number of keys needs nothing from it"
    )]
    #[track_caller]
    pub fn move_keys(&self, slot: u16, count: usize) -> usize {
        let mut source = self.from.contact.client();
        self.move_with(&mut source, slot, count)
    }

    /// How many keys are still at the source.
    ///
    /// # Panics
    ///
    /// If the source does not answer.
    #[must_use]
    #[track_caller]
    pub fn keys_left(&self) -> usize {
        let left = self.left(&mut self.from.contact.client());
        left.into_iter().map(|(_, keys)| keys).sum()
    }

    /// Moves the keys that are left and makes the target the slots' owner. All nodes that ran at the beginning are told.
    ///
    /// # Panics
    ///
    /// If one of the two does not answer.
    #[track_caller]
    pub fn finish(self) {
        let mut source = self.from.contact.client();
        for (slot, _) in self.left(&mut source) {
            while self.move_with(&mut source, slot, KEYS_PER_MOVE) > 0 {}
        }
        // The target first: were it the source, nobody would own the slots between the two.
        set_slots(&self.to.contact, &self.slots, &["NODE", &self.to.id]);
        set_slots(&self.from.contact, &self.slots, &["NODE", &self.to.id]);
        for other in &self.others {
            // Gossip would tell them too. A replica may not be told, and one that has died meanwhile cannot be.
            if let Ok(mut client) = other.connect() {
                let _ = client.pipeline(&commands(&self.slots, &["NODE", &self.to.id]));
            }
        }
    }

    #[track_caller]
    fn move_with(&self, source: &mut RawClient, slot: u16, count: usize) -> usize {
        let (slot, count) = (slot.to_string(), count.to_string());
        let port = self.to.contact.port.to_string();
        let command = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
        eventually_blocking(DEADLINE, "the target takes the keys", || {
            let keys = source.call(&["CLUSTER", "GETKEYSINSLOT", &slot, &count]).array();
            if keys.is_empty() {
                return Some(0);
            }
            let mut command: Vec<_> = command.iter().map(|word| word.as_bytes().to_vec()).collect();
            command.extend(keys.iter().map(Reply::bytes));
            match source.call(&command) {
                // A target that hears nothing of the others for a moment takes nothing; moving twice does no harm.
                Reply::Error(error) if error.contains("CLUSTERDOWN") || error.starts_with("IOERR") => None,
                reply => {
                    reply.ok();
                    Some(keys.len())
                }
            }
        })
    }

    /// The slots that have keys at the source, and how many.
    #[track_caller]
    fn left(&self, source: &mut RawClient) -> Vec<(u16, usize)> {
        let count = |slot: u16| {
            ["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]
                .map(str::to_owned)
                .to_vec()
        };
        let counts: Vec<_> = self.slots.clone().map(count).collect();
        let replies = match source.pipeline(&counts) {
            Ok(replies) => replies,
            Err(error) => panic!("the source does not answer: {error}"),
        };
        let keys = replies.iter().map(|reply| usize::try_from(reply.int()).unwrap_or(0));
        self.slots.clone().zip(keys).filter(|(_, keys)| *keys > 0).collect()
    }
}

impl Cluster {
    /// Opens slots to be moved: the target then takes them in and the source lets them go.
    ///
    /// # Panics
    ///
    /// If `from` does not own them all, or one of the two does not answer.
    #[track_caller]
    pub fn begin_migration(&self, slots: RangeInclusive<u16>, from: usize, to: usize) -> Migration {
        // A node takes no slots from or to one that it does not know to be a master, as after a promotion.
        must(self.wait(|cluster| {
            for node in [from, to] {
                let known = cluster.try_view(node)?.primaries();
                if let Some(other) = [from, to].into_iter().find(|other| !known.contains(other)) {
                    return Err(format!("node {node} does not know that node {other} is a master"));
                }
            }
            Ok(())
        }));
        let peer = |node| Peer {
            id: must(self.id(node)),
            contact: self.node(node).contact(),
        };
        let others = self.up().filter(|node| *node != from && *node != to);
        let migration = Migration {
            from: peer(from),
            to: peer(to),
            others: others.map(|node| self.node(node).contact()).collect(),
            slots,
        };
        // Who was taking in these slots from a source that has been replaced since takes the old one for their owner.
        set_slots(&migration.to.contact, &migration.slots, &["NODE", &migration.from.id]);
        // The target first: were it the source, clients would be sent to a target that sends them back.
        set_slots(
            &migration.to.contact,
            &migration.slots,
            &["IMPORTING", &migration.from.id],
        );
        set_slots(
            &migration.from.contact,
            &migration.slots,
            &["MIGRATING", &migration.to.id],
        );
        migration
    }

    /// Moves slots with all their keys, and waits until all nodes that run agree.
    ///
    /// # Panics
    ///
    /// If `from` does not own them all, or a node does not answer.
    #[track_caller]
    pub fn migrate_slots(&self, slots: RangeInclusive<u16>, from: usize, to: usize) {
        let first = *slots.start();
        self.begin_migration(slots, from, to).finish();
        must(self.wait(|cluster| match cluster.views()?.owner_of(first) {
            Some(owner) if owner == to => Ok(()),
            owner => Err(format!("slot {first} is owned by {owner:?}, not by node {to}")),
        }));
    }

    /// Starts another master, without slots, and waits until all know it. Returns its number.
    ///
    /// # Panics
    ///
    /// If it does not start, or is not known to all within 30 s.
    #[track_caller]
    pub fn add_master(&mut self) -> usize {
        let started = self.start_node();
        let node = must(started);
        must(super::form::meet(self, node));
        self.wait_until_whole();
        node
    }

    /// Moves slots, with all their keys, until every master that runs has its equal share.
    ///
    /// # Panics
    ///
    /// If a node does not answer.
    #[track_caller]
    pub fn rebalance(&self) {
        let view = self.agreed();
        let masters: Vec<_> = view.primaries().into_iter().filter(|node| self.is_up(*node)).collect();
        let count = |node| view.slots_of(node).iter().map(|range| range.len()).sum::<usize>();
        let total: usize = masters.iter().map(|node| count(*node)).sum();
        let share = |index: usize| (index + 1) * total / masters.len() - index * total / masters.len();

        let mut spare: Vec<(u16, usize)> = Vec::new();
        for (index, node) in masters.iter().enumerate() {
            let slots = view.slots_of(*node).into_iter().flatten();
            spare.extend(slots.skip(share(index)).map(|slot| (slot, *node)));
        }
        for (index, node) in masters.iter().enumerate() {
            let missing = share(index).saturating_sub(count(*node));
            for (slots, from) in runs(&spare.drain(..missing).collect::<Vec<_>>()) {
                self.migrate_slots(slots, from, *node);
            }
        }
    }
}

/// Runs of neighbouring slots with one owner.
fn runs(slots: &[(u16, usize)]) -> Vec<(RangeInclusive<u16>, usize)> {
    let together = |left: &(u16, usize), right: &(u16, usize)| left.0 + 1 == right.0 && left.1 == right.1;
    let runs = slots.chunk_by(together);
    runs.map(|run| (run[0].0..=run[run.len() - 1].0, run[0].1)).collect()
}

fn commands(slots: &RangeInclusive<u16>, what: &[&str]) -> Vec<Vec<String>> {
    debug_assert!(*slots.end() < SLOTS, "there is no slot {}", slots.end());
    let command = |slot: u16| {
        let slot = slot.to_string();
        let words = ["CLUSTER", "SETSLOT", &slot].into_iter().chain(what.iter().copied());
        words.map(str::to_owned).collect()
    };
    slots.clone().map(command).collect()
}

#[track_caller]
fn set_slots(contact: &Contact, slots: &RangeInclusive<u16>, what: &[&str]) {
    match contact.client().pipeline(&commands(slots, what)) {
        Ok(replies) => replies.into_iter().for_each(|reply| drop(reply.ok())),
        Err(error) => panic!("the node at port {} does not answer: {error}", contact.port),
    }
}
