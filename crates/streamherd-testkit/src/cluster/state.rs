//! What the nodes say of the cluster.

use crate::cluster::{Cluster, View, slot_of};
use crate::node::must;

impl Cluster {
    /// What a node believes at this moment.
    ///
    /// # Panics
    ///
    /// If the node does not answer, or does not know all others yet.
    #[must_use]
    #[track_caller]
    pub fn view(&self, node: usize) -> View {
        match self.try_view(node) {
            Ok(view) => view,
            Err(missing) => panic!("{missing}"),
        }
    }

    /// What all nodes that run believe, as soon as it is the same. The dead are in it as they were when they were last
    /// heard of.
    ///
    /// # Panics
    ///
    /// If they don't agree within 30 s.
    #[must_use]
    #[track_caller]
    pub fn agreed(&self) -> View {
        must(self.wait(Self::views))
    }

    /// The nodes that own slots, once all that run [agree](Self::agreed).
    ///
    /// # Panics
    ///
    /// If they don't agree within 30 s.
    #[must_use]
    #[track_caller]
    pub fn masters(&self) -> Vec<usize> {
        self.agreed().masters()
    }

    /// The nodes that copy another, dead or alive, once all that run [agree](Self::agreed).
    ///
    /// # Panics
    ///
    /// If they don't agree within 30 s.
    #[must_use]
    #[track_caller]
    pub fn replicas(&self) -> Vec<usize> {
        self.agreed().replicas()
    }

    /// The one replica of a master, once all that run [agree](Self::agreed).
    ///
    /// # Panics
    ///
    /// If it has none or several, or they don't agree within 30 s.
    #[must_use]
    #[track_caller]
    pub fn replica_of(&self, master: usize) -> usize {
        match self.agreed().replicas_of(master)[..] {
            [replica] => replica,
            ref others => panic!("node {master} has not one replica but {others:?}"),
        }
    }

    /// The node that owns a key's slot, once all that run [agree](Self::agreed).
    ///
    /// # Panics
    ///
    /// If nobody owns it, or they don't agree within 30 s.
    #[must_use]
    #[track_caller]
    pub fn owner_of(&self, key: impl AsRef<[u8]>) -> usize {
        self.owner_of_slot(slot_of(key))
    }

    /// The node that owns a slot, once all that run [agree](Self::agreed).
    ///
    /// # Panics
    ///
    /// If nobody owns it, or they don't agree within 30 s.
    #[must_use]
    #[track_caller]
    pub fn owner_of_slot(&self, slot: u16) -> usize {
        match self.agreed().owner_of(slot) {
            Some(node) => node,
            None => panic!("nobody owns slot {slot}"),
        }
    }

    /// What all nodes that run believe, or who does not agree yet.
    pub(crate) fn views(&self) -> Result<View, String> {
        let mut agreed: Option<View> = None;
        for node in self.up() {
            let view = self.try_view(node)?;
            match &agreed {
                Some(agreed) if *agreed != view => {
                    return Err(format!("node {node} believes {view:?}, others {agreed:?}"));
                }
                Some(_) => {}
                None => agreed = Some(view),
            }
        }
        agreed.ok_or_else(|| "no node runs".to_owned())
    }

    /// The same, if the cluster serves every slot and its replicas are in sync.
    pub(crate) fn whole(&self) -> Result<View, String> {
        for node in self.up() {
            let info = self.nodes[node].info("CLUSTER INFO")?;
            if !info.iter().any(|line| line == "cluster_state:ok") {
                return Err(format!("node {node} does not say cluster_state:ok but {info:?}"));
            }
        }
        let view = self.views()?;
        for master in self.up() {
            let replicas = view.replicas_of(master);
            let replicas = replicas.into_iter().filter(|node| self.is_up(*node)).count();
            if replicas > 0 {
                self.nodes[master].reaches(replicas)?;
            }
        }
        Ok(view)
    }

    pub(crate) fn try_view(&self, node: usize) -> Result<View, String> {
        let nodes = self.nodes[node].probe("CLUSTER NODES")?.text();
        let number = |port| (0..self.len()).find(|number| self.node(*number).port() == port);
        let view = View::parse(&nodes, number).map_err(|missing| format!("node {node}: {missing}"))?;
        if view.len() != self.len() {
            return Err(format!("node {node} knows {} of {} nodes", view.len(), self.len()));
        }
        Ok(view)
    }
}
