//! Leases as this worker sees them: which it holds, until when, and how each ends.
//!
//! `held` is one lease, `table` all of a partition, `renewal` extends the locks from a thread of its own, `settlement` carries out endings.

mod held;
mod renewal;
mod settlement;
mod table;

pub(crate) use held::{Held, HoldLimit, Phase};
pub(crate) use renewal::Heartbeat;
pub(crate) use settlement::{LAST_CALL, Settlement, Settler};
pub(crate) use table::Leases;
