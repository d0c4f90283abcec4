//! Real redis-servers for tests, and the faults to put them through.
//!
//! - [`Server`]: a private `redis-server` on a port and in a directory of its own, which can be frozen, killed and
//!   restarted; plain or with TLS and [`Certificates`] of its own, with ACL users, over a unix socket, as a replica.
//! - [`Cluster`]: masters and replicas, of which any can be killed, frozen, restarted and failed over; slots that move in
//!   steps a test can stop between, and a fourth master.
//! - [`Sentinels`]: three of them over a primary and a replica.
//! - [`RawClient`]: a tiny blocking RESP2 client, to look at the truth in Redis independently of the code under test.
//! - [`Proxy`]: sits between a client and a server and loses a reply, drops a request or runs a hook at one exact
//!   command.
//! - [`Port`]: a port that can be closed and bound again later, for servers that are no Redis.
//! - [`Process`]: a child process that can be frozen and killed, and never outlives the test that started it.
//! - [`eventually`]: waits for a condition with a deadline, so that no test sleeps.
//!
//! It is a harness: most functions panic with a message that says what went wrong, because that is how a test fails.
//! [`Server::try_start`] and [`RawClient::try_call`] are there for callers that want to decide themselves.
//!
//! ```
//! use streamherd_testkit::Server;
//!
//! let server = Server::start();
//! let mut redis = server.client();
//! redis.cmd("XADD orders * item teapot").ok();
//! assert_eq!(redis.cmd("XLEN orders").int(), 1);
//! ```

mod access;
mod builder;
mod clock;
mod cluster;
mod contact;
mod error;
mod eventually;
mod launch;
mod node;
mod port;
mod process;
mod proxy;
mod raw;
mod reply;
mod sentinels;
mod server;
mod stream;
mod tls;

pub use builder::ServerBuilder;
pub use cluster::{Cluster, ClusterBuilder, Failover, Migration, View, slot_of};
pub use error::StartError;
pub use eventually::{eventually, eventually_blocking};
pub use port::Port;
pub use process::Process;
pub use proxy::{Armed, Command, Fault, Matcher, Proxy};
pub use raw::RawClient;
pub use reply::Reply;
pub use sentinels::{Sentinels, SentinelsBuilder};
pub use server::Server;
pub use tls::Certificates;
