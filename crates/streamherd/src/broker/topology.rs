//! Which servers have to be listened to, and what a change of topology means for that: decisions without I/O.

use std::collections::BTreeSet;

use crate::store::{Node, Placement};

/// What has to happen after a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Diff {
    /// Servers that hold a partition and are not listened to.
    pub(super) listen: BTreeSet<Node>,
    /// Servers that are listened to and hold nothing any more.
    pub(super) leave: BTreeSet<Node>,
    /// Partitions that another server holds than before: what expired on the way was told to nobody.
    pub(super) moved: BTreeSet<u16>,
}

/// `listening` are the servers that are listened to now, in whatever state; each is subscribed to all partitions' locks.
pub(super) fn diff(listening: &BTreeSet<Node>, before: &Placement, now: &Placement) -> Diff {
    let holders: BTreeSet<Node> = now.0.iter().flatten().cloned().collect();
    let moved = (0_u16..)
        .zip(&now.0)
        .filter(|(partition, holder)| before.of(*partition) != holder.as_ref());
    Diff {
        listen: holders.difference(listening).cloned().collect(),
        leave: listening.difference(&holders).cloned().collect(),
        moved: moved.map(|(partition, _)| partition).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(port: u16) -> Node {
        Node::At {
            host: "h".to_owned(),
            port,
        }
    }

    /// Of up to five servers, one or none for each of up to eight partitions.
    fn placements() -> impl Strategy<Value = (Placement, Placement)> {
        (1_usize..8).prop_flat_map(|partitions| {
            let one = || proptest::collection::vec(proptest::option::of((0_u16..5).prop_map(node)), partitions);
            (one().prop_map(Placement), one().prop_map(Placement))
        })
    }

    fn holders(placement: &Placement) -> BTreeSet<Node> {
        placement.0.iter().flatten().cloned().collect()
    }

    #[test]
    fn a_promoted_replica_is_listened_to_in_place_of_its_master() {
        let before = Placement(vec![Some(node(1)), Some(node(2)), Some(node(1))]);
        let now = Placement(vec![Some(node(4)), Some(node(2)), Some(node(4))]);
        let diff = diff(&holders(&before), &before, &now);
        assert_eq!(diff.listen, [node(4)].into());
        assert_eq!(diff.leave, [node(1)].into());
        assert_eq!(diff.moved, [0, 2].into());
    }

    proptest! {
        #[test]
        fn after_the_change_exactly_the_holders_are_listened_to((before, now) in placements(), extra in proptest::collection::btree_set((0_u16..7).prop_map(node), 0..4)) {
            // Whatever went wrong earlier: servers listened to that hold nothing, or missing ones.
            let listening: BTreeSet<Node> = extra;
            let Diff { listen, leave, .. } = diff(&listening, &before, &now);
            let after: BTreeSet<Node> = listening.difference(&leave).chain(&listen).cloned().collect();
            prop_assert_eq!(after, holders(&now));
            prop_assert!(listen.is_disjoint(&listening) && leave.is_subset(&listening));
        }

        #[test]
        fn a_partition_that_stays_is_not_touched((before, now) in placements()) {
            let Diff { moved, .. } = diff(&holders(&before), &before, &now);
            for (partition, (was, is)) in (0_u16..).zip(before.0.iter().zip(&now.0)) {
                prop_assert_eq!(moved.contains(&partition), was != is);
            }
        }

        #[test]
        fn without_a_change_there_is_nothing_to_do((placement, _) in placements()) {
            prop_assert_eq!(diff(&holders(&placement), &placement, &placement), Diff::default());
        }
    }
}
