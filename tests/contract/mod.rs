//! The guarantees, one file per part of the protocol. Test names are the sentences they prove.

mod bad_entries;
mod conservation;
mod crashes;
mod data_loss;
mod delayed;
mod doctor;
mod doctor_logins;
mod foreign_hands;
mod handler_endings;
mod handler_running;
#[cfg(feature = "tower")]
mod handler_services;
mod handlers;
mod handover;
mod heartbeat;
mod lease_validity;
mod limits;
mod lost_calls;
mod lost_replies;
mod metrics;
mod notifications;
mod operators;
mod own_expiries;
mod random_kills;
mod recovery;
mod requeue;
mod rights;
mod settings;
mod shutdown;
mod steering;
mod store_faults;
mod work;
