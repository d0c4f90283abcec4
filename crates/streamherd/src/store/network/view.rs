//! What one server says of the topology, and what several say together: decisions without I/O.

use std::collections::HashMap;

use super::{Node, Placement};

/// One server's view: for each partition who holds it, by which configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) claims: Vec<Option<Claim>>,
    /// Other servers that may be asked.
    pub(crate) others: Vec<Node>,
    /// The host names that servers announce.
    pub(crate) names: Vec<(Node, String)>,
}

/// That a server holds a partition. Of two that contradict each other the later configuration is right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    pub(crate) epoch: u64,
    pub(crate) node: Node,
}

/// Reads `CLUSTER NODES`: a line per node, `id ip:port@bus[,hostname] flags primary ping pong epoch link slot…`.
pub(crate) fn of_cluster(text: &str, asked: &Node, slots: &[u16]) -> View {
    let mut view = View {
        claims: vec![None; slots.len()],
        others: Vec::new(),
        names: Vec::new(),
    };
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(flags)) = (words.nth(1), words.next()) else {
            continue;
        };
        let (Some(epoch), Some(node)) = (words.nth(3).and_then(|w| w.parse().ok()), node(address, asked)) else {
            continue;
        };
        let flags: Vec<&str> = flags.split(',').collect();
        if flags.contains(&"noaddr") || flags.contains(&"handshake") {
            continue;
        }
        if let Some(name) = address.split(',').nth(1).filter(|name| !name.is_empty()) {
            view.names.push((node.clone(), name.to_owned()));
        }
        if !flags.contains(&"fail") {
            view.others.push(node.clone());
        }
        if !flags.contains(&"master") {
            continue;
        }
        for range in words.skip(1).filter_map(range) {
            for (slot, claim) in slots.iter().zip(&mut view.claims) {
                if range.contains(slot) {
                    let node = node.clone();
                    *claim = claim.take().max(Some(Claim { epoch, node }));
                }
            }
        }
    }
    view
}

/// Reads `SENTINEL MASTER <name>`.
pub(crate) fn of_sentinel(pairs: &HashMap<String, String>, partitions: usize) -> Option<View> {
    let text = |name: &str| pairs.get(name).map(String::as_str);
    let claim = Claim {
        epoch: text("config-epoch").and_then(|w| w.parse().ok()).unwrap_or(0),
        node: Node::at(text("ip")?, text("port")?.parse().ok()?),
    };
    Some(View {
        claims: vec![Some(claim); partitions],
        others: Vec::new(),
        names: Vec::new(),
    })
}

/// For each partition the claim of the latest configuration.
pub(crate) fn merge(views: &[View], slots: &[u16]) -> Placement {
    let latest = |partition: usize| {
        let claims = views.iter().filter_map(|view| view.claims.get(partition)?.as_ref());
        claims.max().map(|claim| claim.node.clone())
    };
    Placement((0..slots.len()).map(latest).collect())
}

/// A node that doesn't know its own address is where it was asked.
fn node(address: &str, asked: &Node) -> Option<Node> {
    let address = address.split(['@', ',']).next()?;
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    match (host, asked) {
        ("", Node::At { host, .. }) => Some(Node::at(host, port)),
        ("", Node::Socket(_)) => None,
        _ => Some(Node::at(host, port)),
    }
}

/// `0-5460` or `7`; what is being moved, `[7->-…]`, still belongs to whoever lists it without brackets.
fn range(word: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODES: &str = "\
a 127.0.0.1:7001@17001,host-1 myself,master - 0 0 3 connected 0-5460 9000
b 127.0.0.1:7002@17002,,tls-port=0,shard-id=abc master - 0 1 2 connected 5461-8999 9001-10922 [5461->-c]
c :7003@17003 slave,fail a 0 1 3 disconnected
d 127.0.0.1:7004@17004 master,fail - 0 1 1 disconnected 10923-16383
e ::1:7005@17005 slave b 0 1 2 connected
f :0@0 slave,noaddr b 0 1 2 disconnected
nonsense";

    fn asked() -> Node {
        Node::at("10.0.0.1", 7001)
    }

    fn local(port: u16) -> Node {
        Node::at("127.0.0.1", port)
    }

    #[test]
    fn a_partition_is_where_its_slot_is() {
        let view = of_cluster(NODES, &asked(), &[9000, 5461, 16383, 0]);
        let holders: Vec<_> = merge(std::slice::from_ref(&view), &[9000, 5461, 16383, 0]).0;
        assert_eq!(holders, [7001, 7002, 7004, 7001].map(|port| Some(local(port))));
        assert_eq!(view.others, [local(7001), local(7002), Node::at("::1", 7005)]);
        assert_eq!(view.names, [(local(7001), "host-1".to_owned())]);
    }

    #[test]
    fn a_slot_that_nobody_holds_has_no_place() {
        let view = of_cluster("a 127.0.0.1:1@2 master - 0 0 3 connected 0-5", &asked(), &[6]);
        assert_eq!(merge(&[view], &[6]).0, [None]);
        assert_eq!(merge(&[], &[6]).0, [None]);
    }

    #[test]
    fn a_node_without_an_address_is_where_it_was_asked() {
        let view = of_cluster("a :7001@17001 myself,master - 0 0 0 connected 0-16383", &asked(), &[1]);
        assert_eq!(merge(&[view], &[1]).0, [Some(asked())]);
    }

    #[test]
    fn a_primary_is_where_the_sentinels_say() {
        let pairs = [("ip", "127.0.0.1"), ("port", "7001"), ("config-epoch", "4")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let view = of_sentinel(&pairs.into(), 2).unwrap();
        assert_eq!(merge(&[view], &[1, 2]).0, [Some(local(7001)), Some(local(7001))]);
        assert_eq!(of_sentinel(&HashMap::new(), 1), None);
    }

    proptest! {
        #[test]
        fn of_several_views_the_latest_configuration_counts(epochs in proptest::collection::vec((0_u64..50, 1_u16..9), 1..9)) {
            let views: Vec<View> = epochs
                .iter()
                .map(|(epoch, port)| View {
                    claims: vec![Some(Claim { epoch: *epoch, node: local(*port) })],
                    others: Vec::new(),
                    names: Vec::new(),
                })
                .collect();
            let placed = merge(&views, &[0]).0.remove(0).unwrap();
            let latest = epochs.iter().map(|(epoch, _)| epoch).max().unwrap();
            prop_assert!(epochs.iter().any(|(epoch, port)| epoch == latest && local(*port) == placed));
        }

        #[test]
        fn whatever_a_server_says_is_read(text in "\\PC{0,300}", slots in proptest::collection::vec(0_u16..16384, 0..4)) {
            let view = of_cluster(&text, &asked(), &slots);
            prop_assert_eq!(view.claims.len(), slots.len());
        }
    }
}
