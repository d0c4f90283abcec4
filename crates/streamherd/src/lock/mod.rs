//! Leases as this worker sees them: which it holds, until when, and how each ends.
//!
//! `held` is one lease, `table` all of a partition, `renewal` extends the locks from a thread of its own, `settlement` carries out endings,
//! and `reports` tells those who look on how far work has come.

mod held;
mod renewal;
mod reports;
mod settlement;
mod table;

pub(crate) use held::{Held, HoldLimit, Phase};
pub(crate) use renewal::Heartbeat;
pub(crate) use reports::Reports;
pub(crate) use settlement::{LAST_CALL, Settlement, Settler};
pub(crate) use table::Leases;
