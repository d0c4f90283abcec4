//! What the Sentinels say.

use crate::node::{Node, must};
use crate::sentinels::{SERVICE, Sentinels};

impl Sentinels {
    /// The server that is the primary, once all Sentinels that run say the same.
    ///
    /// # Panics
    ///
    /// If they don't within 30 s.
    #[must_use]
    #[track_caller]
    pub fn primary(&self) -> usize {
        must(self.wait(|sentinels| sentinels.agreed().map(drop)));
        match self.agreed() {
            Ok(primary) => primary,
            Err(missing) => panic!("{missing}"),
        }
    }

    /// The other server, dead or alive.
    ///
    /// # Panics
    ///
    /// If the Sentinels don't agree within 30 s.
    #[must_use]
    #[track_caller]
    pub fn replica(&self) -> usize {
        1 - self.primary()
    }

    pub(crate) fn up_sentinels(&self) -> impl Iterator<Item = &Node> {
        self.sentinels.iter().filter(|node| node.is_up())
    }

    /// The primary, or who does not agree yet.
    pub(crate) fn agreed(&self) -> Result<usize, String> {
        let mut agreed = None;
        for sentinel in self.up_sentinels() {
            let url = sentinel.server.url();
            let addr = sentinel
                .probe(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}"))?
                .strings();
            let server = self
                .servers
                .iter()
                .position(|node| node.server.port().to_string() == addr[1]);
            let Some(server) = server else {
                return Err(format!("the Sentinel at {url} names a stranger: {addr:?}"));
            };
            if *agreed.get_or_insert(server) != server {
                return Err(format!("the Sentinel at {url} names server {server}, another does not"));
            }
        }
        agreed.ok_or_else(|| "no Sentinel runs".to_owned())
    }

    /// The primary, if all is as it should be, or what is missing.
    pub(crate) fn whole(&self) -> Result<usize, String> {
        let primary = self.agreed()?;
        for sentinel in self.up_sentinels() {
            let url = sentinel.server.url();
            let known = sentinel.probe(&format!("SENTINEL MASTER {SERVICE}"))?.pairs();
            let others = (self.sentinels.len() - 1).to_string();
            let replicas = (self.servers.len() - 1).to_string();
            for (field, wanted) in [
                ("flags", "master"),
                ("num-slaves", &replicas),
                ("num-other-sentinels", &others),
            ] {
                let value = known
                    .iter()
                    .find(|(name, _)| name == field)
                    .map(|(_, value)| value.as_str());
                if value != Some(wanted) {
                    return Err(format!(
                        "the Sentinel at {url} has {field} {value:?} instead of {wanted:?}"
                    ));
                }
            }
        }
        for (server, node) in self.servers.iter().enumerate().filter(|(_, node)| node.is_up()) {
            let info = node.info("INFO replication")?;
            let port = format!("master_port:{}", self.server(primary).port());
            let wanted = if server == primary {
                vec!["role:master"]
            } else {
                vec!["role:slave", &port, "master_link_status:up"]
            };
            if let Some(missing) = wanted
                .into_iter()
                .find(|wanted| !info.iter().any(|line| line == wanted))
            {
                return Err(format!("server {server} has no {missing:?} in {info:?}"));
            }
        }
        if self.servers.len() > 1 && self.servers.iter().all(Node::is_up) {
            self.servers[primary].reaches(1)?;
        }
        Ok(primary)
    }
}
