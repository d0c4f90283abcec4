//! Leases as this worker sees them: which it holds, until when, and how each ends.
//!
//! `table` is what is held, `renewal` extends the locks from a thread of its own, `settlement` carries out endings.

mod renewal;
mod settlement;
mod table;

pub(crate) use renewal::Heartbeat;
pub(crate) use settlement::{LAST_CALL, Settlement, Settler};
pub(crate) use table::{Held, HoldLimit, Leases, Phase};
