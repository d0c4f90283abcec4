mod builder;
mod state;

use std::time::Duration;

use crate::error::StartError;
use crate::node::{self, Node, must};
use crate::raw::RawClient;
pub use crate::sentinels::builder::SentinelsBuilder;
use crate::server::Server;

const DEADLINE: Duration = Duration::from_secs(30);
const SERVICE: &str = "streamherd";

/// Three private Sentinels over a primary and a replica, unless the builder says [otherwise](SentinelsBuilder::alone).
///
/// The two servers are numbered: 0 is the primary at first and 1 the replica, and they keep their numbers when the roles
/// change. Their data survives a [restart](Self::restart). All five are killed when the value is dropped.
///
/// From Redis 7.0 on the Sentinels talk to each other and look at the servers every 0.2 s, instead of every 2 and 10 s, so
/// that what they find out is known to all of them soon; how long a primary has to be silent is not touched by that.
///
/// # Examples
///
/// ```
/// use streamherd_testkit::Sentinels;
///
/// let mut sentinels = Sentinels::start();
/// let replica = sentinels.replica();
/// sentinels.kill_primary();
/// sentinels.wait_for_promotion(replica);
/// assert_eq!(sentinels.primary(), replica);
/// ```
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Node>,
    sentinels: Vec<Node>,
}

impl Sentinels {
    /// Starts all and waits until the Sentinels know each other and the replica.
    ///
    /// # Panics
    ///
    /// With the message of the [`StartError`].
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Sentinels with options.
    pub fn builder() -> SentinelsBuilder {
        SentinelsBuilder::default()
    }

    /// `redis-sentinel://` with every Sentinel and the name of the service, or `rediss-sentinel://` where they speak TLS.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_from(&self.sentinels[0].server.url())
    }

    /// The URL with the name and password of a [user](SentinelsBuilder::user).
    ///
    /// # Panics
    ///
    /// If the builder was given no user of that name.
    #[must_use]
    #[track_caller]
    pub fn url_as(&self, user: &str) -> String {
        self.url_from(&self.sentinels[0].server.url_as(user))
    }

    /// The name by which the Sentinels know the primary.
    #[must_use]
    pub fn service(&self) -> &'static str {
        SERVICE
    }

    /// One of the two servers. What stops or starts it is done through this value, which has to know whom it can ask.
    ///
    /// # Panics
    ///
    /// If there is no such server.
    #[must_use]
    #[track_caller]
    pub fn server(&self, server: usize) -> &Server {
        &self.servers[server].server
    }

    /// One of the three Sentinels. What stops or starts it is done through this value, as for the servers.
    ///
    /// # Panics
    ///
    /// If there is no such Sentinel.
    #[must_use]
    #[track_caller]
    pub fn sentinel(&self, sentinel: usize) -> &Server {
        &self.sentinels[sentinel].server
    }

    /// A new blocking connection to the [primary](Self::primary).
    ///
    /// # Panics
    ///
    /// If the Sentinels don't agree within 30 s, or the primary does not accept it.
    #[must_use]
    #[track_caller]
    pub fn client(&self) -> RawClient {
        self.server(self.primary()).client()
    }

    /// Kills the [primary](Self::primary) (`SIGKILL`), and returns its number.
    ///
    /// # Panics
    ///
    /// If the Sentinels don't agree within 30 s who that is.
    #[track_caller]
    pub fn kill_primary(&mut self) -> usize {
        let primary = self.primary();
        self.kill(primary);
        primary
    }

    /// Kills a server (`SIGKILL`).
    ///
    /// # Panics
    ///
    /// If there is no such server.
    #[track_caller]
    pub fn kill(&mut self, server: usize) {
        self.servers[server].kill();
    }

    /// Stops a server (`SIGSTOP`): its connections stay open and nobody answers on them.
    ///
    /// # Panics
    ///
    /// If there is no such server, or it is dead.
    #[track_caller]
    pub fn freeze(&mut self, server: usize) {
        self.servers[server].freeze();
    }

    /// Lets a frozen server run on (`SIGCONT`). Was it the primary and another is by now, it takes writes until the
    /// Sentinels make it a replica; those writes are then lost.
    ///
    /// # Panics
    ///
    /// If there is no such server, or it is dead.
    #[track_caller]
    pub fn thaw(&mut self, server: usize) {
        self.servers[server].thaw();
    }

    /// Starts a server again on the same port with its data, after a kill if it still runs. It comes back as a primary,
    /// and is soon made a replica if the Sentinels know another: see [`wait_until_whole`](Self::wait_until_whole).
    ///
    /// # Panics
    ///
    /// If there is no such server, or it does not come back.
    #[track_caller]
    pub fn restart(&mut self, server: usize) {
        self.servers[server].restart();
    }

    /// Like [`restart`](Self::restart), but the server has lost its data. A primary that is back before it is missed stays
    /// the primary, and its replica then loses the data too.
    ///
    /// # Panics
    ///
    /// If there is no such server, or it does not come back.
    #[track_caller]
    pub fn restart_empty(&mut self, server: usize) {
        self.servers[server].restart_empty();
    }

    /// Kills a Sentinel (`SIGKILL`).
    ///
    /// # Panics
    ///
    /// If there is no such Sentinel.
    #[track_caller]
    pub fn kill_sentinel(&mut self, sentinel: usize) {
        self.sentinels[sentinel].kill();
    }

    /// Stops a Sentinel (`SIGSTOP`).
    ///
    /// # Panics
    ///
    /// If there is no such Sentinel, or it is dead.
    #[track_caller]
    pub fn freeze_sentinel(&mut self, sentinel: usize) {
        self.sentinels[sentinel].freeze();
    }

    /// Lets a frozen Sentinel run on (`SIGCONT`). If it stood still for 2 s or more it distrusts its clock at first
    /// (`TILT`) and decides nothing: for 1 s from Redis 7.0 on, for 30 s before.
    ///
    /// # Panics
    ///
    /// If there is no such Sentinel, or it is dead.
    #[track_caller]
    pub fn thaw_sentinel(&mut self, sentinel: usize) {
        self.sentinels[sentinel].thaw();
    }

    /// Starts a Sentinel again on the same port, with what it knew, after a kill if it still runs.
    ///
    /// # Panics
    ///
    /// If there is no such Sentinel, or it does not come back.
    #[track_caller]
    pub fn restart_sentinel(&mut self, sentinel: usize) {
        self.sentinels[sentinel].restart();
        hasten(&self.sentinels[sentinel]);
    }

    /// Has the Sentinels make the replica the primary, as an operator does, and [waits](Self::wait_for_promotion) until it
    /// is. Returns its number. Sentinels don't make the primary wait for the replica first: what
    /// has not reached it is lost.
    ///
    /// # Panics
    ///
    /// If there is no replica that runs, or it is not promoted within 30 s.
    #[expect(clippy::must_use_candidate, reason = "with two servers a test knows who it is")]
    #[track_caller]
    pub fn failover(&self) -> usize {
        let replica = self.replica();
        // Refused while the last failover is not over, and while the replica is not known to be well.
        must(self.wait(|sentinels| {
            let Some(sentinel) = sentinels.up_sentinels().next() else {
                return Err("no Sentinel runs".to_owned());
            };
            sentinel.probe(&format!("SENTINEL FAILOVER {SERVICE}")).map(drop)
        }));
        self.wait_for_promotion(replica);
        replica
    }

    /// Waits until this server is the primary, and all is [whole](Self::wait_until_whole).
    ///
    /// # Panics
    ///
    /// If it takes longer than 30 s.
    #[track_caller]
    pub fn wait_for_promotion(&self, server: usize) {
        must(self.wait(|sentinels| match sentinels.whole()? {
            primary if primary == server => Ok(()),
            primary => Err(format!("server {primary} is the primary, not server {server}")),
        }));
    }

    /// Waits until all Sentinels that run know each other and the same primary, it says of itself that it is, and the
    /// other server, if it runs, is its replica and in sync.
    ///
    /// # Panics
    ///
    /// If it takes longer than 30 s.
    #[track_caller]
    pub fn wait_until_whole(&self) {
        must(self.wait(|sentinels| sentinels.whole().map(drop)));
    }

    fn wait(&self, probe: impl Fn(&Self) -> Result<(), String>) -> Result<(), StartError> {
        node::wait_for(DEADLINE, || probe(self))
    }

    fn url_from(&self, first: &str) -> String {
        let url = node::url_of(first, "sentinel", &self.sentinels[1..]);
        format!("{url}&sentinelServiceName={SERVICE}")
    }
}

/// Makes a Sentinel look around more often. Not known before 7.0, where all of it takes its time, and forgotten in a
/// restart.
fn hasten(sentinel: &Node) {
    let periods = [
        "INFO-PERIOD",
        "200",
        "PUBLISH-PERIOD",
        "200",
        "ASK-PERIOD",
        "200",
        "TILT-PERIOD",
        "1000",
    ];
    let command: Vec<_> = ["SENTINEL", "DEBUG"].into_iter().chain(periods).collect();
    let _ = sentinel.ask(&command);
}
