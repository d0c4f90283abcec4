use std::ops::RangeInclusive;

/// What one node of a [`Cluster`](crate::Cluster) believes of all of them: roles and slots. Nodes are named by their
/// numbers, so that two nodes' views can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    node: usize,
    id: String,
    primary: Option<String>,
    slots: Vec<RangeInclusive<u16>>,
}

impl View {
    /// The nodes that own slots.
    #[must_use]
    pub fn masters(&self) -> Vec<usize> {
        self.numbers(|member| !member.slots.is_empty())
    }

    /// The nodes that copy another, dead or alive.
    #[must_use]
    pub fn replicas(&self) -> Vec<usize> {
        self.numbers(|member| member.primary.is_some())
    }

    /// The nodes that copy `master`, dead or alive.
    #[must_use]
    pub fn replicas_of(&self, master: usize) -> Vec<usize> {
        let id = self.member(master).map(|member| member.id.as_str());
        self.numbers(|member| member.primary.is_some() && member.primary.as_deref() == id)
    }

    /// The node that owns a slot, or `None` if the slot is unassigned.
    #[must_use]
    pub fn owner_of(&self, slot: u16) -> Option<usize> {
        let owns = |member: &&Member| member.slots.iter().any(|range| range.contains(&slot));
        self.members.iter().find(owns).map(|member| member.node)
    }

    /// The slots that a node owns, in order.
    #[must_use]
    pub fn slots_of(&self, node: usize) -> Vec<RangeInclusive<u16>> {
        self.member(node).map(|member| member.slots.clone()).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The nodes that are not replicas, with slots or without.
    pub(crate) fn primaries(&self) -> Vec<usize> {
        self.numbers(|member| member.primary.is_none())
    }

    /// Reads what `CLUSTER NODES` answered, which says more than `CLUSTER SLOTS` and, unlike `CLUSTER SHARDS`, on every
    /// version. `number` finds a node by its port.
    pub(crate) fn parse(nodes: &str, number: impl Fn(u16) -> Option<usize>) -> Result<Self, String> {
        let mut members = Vec::new();
        for line in nodes.lines() {
            members.push(Member::parse(line, &number)?);
        }
        members.sort_unstable_by_key(|member| member.node);
        Ok(Self { members })
    }

    fn member(&self, node: usize) -> Option<&Member> {
        self.members.iter().find(|member| member.node == node)
    }

    fn numbers(&self, wanted: impl Fn(&Member) -> bool) -> Vec<usize> {
        let members = self.members.iter().filter(|member| wanted(member));
        members.map(|member| member.node).collect()
    }
}

impl Member {
    /// Reads `ID 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460 [93-<-ID]`. Open slots are left out: a node
    /// tells them of itself only.
    fn parse(line: &str, number: impl Fn(u16) -> Option<usize>) -> Result<Self, String> {
        let words: Vec<_> = line.split(' ').collect();
        let [id, addr, flags, primary, _ping, _pong, _epoch, _link, slots @ ..] = words.as_slice() else {
            return Err(format!("CLUSTER NODES has the line {line:?}"));
        };
        if flags.contains("handshake") {
            return Err(format!("{addr} is still being met"));
        }
        let port = addr.split('@').next().and_then(|addr| addr.rsplit(':').next());
        let Some(node) = port.and_then(|port| port.parse().ok()).and_then(number) else {
            return Err(format!("{addr} is no node of this cluster"));
        };
        let slots = slots.iter().filter(|slot| !slot.starts_with('[')).map(|slot| {
            let (first, last) = slot.split_once('-').unwrap_or((slot, slot));
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        let Some(slots) = slots.collect() else {
            return Err(format!("CLUSTER NODES has the slots of {line:?}"));
        };
        Ok(Self {
            node,
            id: (*id).to_owned(),
            primary: (*primary != "-").then(|| (*primary).to_owned()),
            slots,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "\
        bb 127.0.0.1:7001@17001 slave aa 0 1 1 connected\n\
        aa 127.0.0.1:7000@17000,host myself,master - 0 0 1 connected 0-5 7 [93-<-bb]\n\
        cc :7002@17002 master,fail - 0 0 2 disconnected\n";

    fn number(port: u16) -> Option<usize> {
        port.checked_sub(7000).map(usize::from).filter(|number| *number < 3)
    }

    #[test]
    fn roles_and_slots_are_read_by_number() {
        let view = View::parse(NODES, number).unwrap();
        assert_eq!(view.masters(), [0]);
        assert_eq!(view.primaries(), [0, 2]);
        assert_eq!(view.replicas_of(0), [1]);
        assert_eq!(view.replicas_of(2), [] as [usize; 0]);
        assert_eq!(view.slots_of(0), [0..=5, 7..=7]);
        assert_eq!((view.owner_of(5), view.owner_of(6)), (Some(0), None));
    }

    #[test]
    fn what_is_not_yet_whole_is_told() {
        let unmet = "aa 127.0.0.1:7000@17000 handshake - 0 0 0 disconnected";
        assert!(View::parse(unmet, number).unwrap_err().contains("still being met"));
        let stranger = "aa 127.0.0.1:9000@19000 master - 0 0 0 connected";
        assert!(View::parse(stranger, number).unwrap_err().contains("no node of this"));
    }
}
