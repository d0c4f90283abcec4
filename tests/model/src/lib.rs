//! A model of the lease protocol, small enough to look at all of its states.
//!
//! One partition: Redis, a replica that may lag behind, workers that may stand still, crash and come back, and what is on its way
//! between them. Each script of `crates/streamherd/src/store/lua` is one method of [`redis::Redis`] and one step, since a script
//! is whole; what a worker remembers between two steps, and what it makes of an answer, is [`worker`] and `exchange`, after
//! `lock/`, `recovery/`, `runtime/reader/` and `scanner/` of the library. [`properties`] are the guarantees of
//! docs/GUARANTEES.md; [`seeded`] are mistakes that show that the properties would notice them.
//!
//! ```text
//! cargo test -p streamherd-model                          # all states of small worlds, walks through larger ones
//! cargo run -p streamherd-model -- --crashes 2 --starts 2 --lost-replies 1 --entries 5
//! cargo run -p streamherd-model -- --walks 1000000 --workers 3 --streams 3 --entries 14 --ttl 3 --slow-calls \
//!     --endings rdgh --crashes 2 --starts 2 --lost-replies 3 --stragglers 2 --failovers 1
//! ```
//!
//! # Time
//!
//! Time is counted in ticks, and only as far as it matters: what is left of a lock, of a lease at its worker and of the quiet
//! time, down to nothing; how long an entry has been idle, up to the `lock_ttl`. So time may go on for ever in finitely many
//! states. A `lock_ttl` is two or three ticks, the quiet time as much. A lease is valid for one tick less, counted from the start
//! of the call that renewed it: the margin. So there is a tick in which a lease is invalid and its lock lives, and a worker's clock
//! may miss one tick before the two meet. A claim wants an entry to be idle for one tick less than the ttl (100 ms in the
//! library), a scan for the whole of it.
//!
//! A tick may come between any two steps, and no step has to come before a tick. That is what a pause, a partition, a slow
//! runtime or an overloaded Redis do: the clocks go on, and a worker's steps do not. So they need no fault of their own, and
//! are not bounded. `tests/reach.rs` shows that a worker wakes up to find its work taken. Notifications are not there either: any
//! worker may try to re-queue anything at any moment, as after a notification that is early, late, false, repeated or lost.
//!
//! # What is bounded
//!
//! [`Faults`] are counted: crashes, new processes, shutdowns, lost replies, calls that arrive after their sender has given them
//! up, ticks that a clock misses, failovers that lose any number of the last writes, a Redis that comes back empty, jumps of its clock.
//! So is how many entries are ever made; states beyond are not explored. States that differ only by names (which worker is the
//! first, how large an id or a token is) are taken for the same.
//!
//! # Recovery
//!
//! "Eventually" is beyond a search that takes a cycle for a join. Instead, in every state, all workers are taken for dead, and one
//! newcomer has to bring all that Redis has to its end by scans alone, within one `lock_ttl`: see [`survivor`].
//!
//! # What is not modelled, and why that is enough
//!
//! - **Several partitions.** They share slots and connections, and no state of an entry.
//! - **Batches of several settlements.** Each has an outcome of its own; what a batch has in common, its number, epoch and receipt, is
//!   there with one. So are renewals one by one, where the library sends up to 400: fewer of them succeed together here.
//! - **Coalescing.** `T:live` moves in the same steps as the entry that it names, and decides nothing about leases. Every stream
//!   is a run of its own here, so a stream may have two lives after a failover that lost a retry, as docs/GUARANTEES.md says;
//!   ownership is therefore asked for by run.
//! - **Gate, jitter, back-off, breaker, pauses, capacity.** They keep steps from being taken, and every step may stay away here.
//!   Reads are not even kept back by the quiet time, since a blocked XREADGROUP is not.
//! - **Reap and sweep** put right what other programs and the dead have left; here is nobody else.
//! - **Operators.** Nobody kicks, re-queues, redrives, purges or pauses: the admin's scripts are for the contract tests.
//! - **Ids.** They are never given twice, as Redis takes them from its clock; so the digests of bodies have nothing to tell apart.
//!   Tokens grow for the same reason. A replica whose clock is behind is not modelled.
//! - **Notes** (`T:moved`, `T:written`) last for ever, not for ten minutes. A consumer's late acquisitions and renewals arrive
//!   before it deregisters, or never, while copies of its settlements may come later; in worlds where the clock jumps there are none, and no newcomers, who have nothing to compare the clock with.
//! - **A service that the replica has no epoch of** can't be known there to be one: losses begin after the first hello.
//!
//! The model is written after the scripts by hand. That the scripts do what the model says is for the contract tests, which run
//! against real servers.
//!
//! # What it has found
//!
//! What the library has repaired since is a planted mistake now: the last eight of [`Seeded`].

pub mod bounds;
pub mod broken;
mod canonical;
mod exchange;
pub mod explore;
pub mod properties;
pub mod protocol;
pub mod redis;
pub mod seeded;
mod settler;
mod step;
pub mod survivor;
pub mod worker;
pub mod world;

pub use bounds::{Bounds, Endings, Faults};
pub use protocol::Protocol;
pub use seeded::Seeded;
pub use world::{Action, World};
