//! The guarantees, one file per part of the protocol. Test names are the sentences they prove.

mod bad_entries;
mod conservation;
mod crashes;
mod data_loss;
mod dead_letter_crashes;
mod dead_letter_metrics;
mod dead_letter_runs;
mod dead_letters;
mod delayed;
mod foreign_hands;
mod heartbeat;
mod lease_validity;
mod limits;
mod lost_calls;
mod lost_replies;
mod metrics;
mod notifications;
mod own_expiries;
mod recovery;
mod redrive_coalescing;
mod rights;
mod settings;
mod shutdown;
mod steering;
mod store_faults;
mod work;
