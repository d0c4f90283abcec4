//! The guarantees, one file per part of the protocol. Test names are the sentences they prove.

mod bad_entries;
mod coalescing;
mod conservation;
mod crashes;
mod data_loss;
mod delayed;
mod due;
mod foreign_hands;
mod heartbeat;
mod lease_validity;
mod limits;
mod lost_calls;
mod lost_replies;
mod metrics;
mod notifications;
mod own_expiries;
mod reaping;
mod recovery;
mod rights;
mod settings;
mod shutdown;
mod steering;
mod store_faults;
mod sweeping;
mod work;
