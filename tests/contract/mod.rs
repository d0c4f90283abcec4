//! The guarantees, one file per part of the protocol. Test names are the sentences they prove.

mod crashes;
mod guarantees;
mod heartbeat;
mod limits;
mod lost_replies;
mod metrics;
mod notifications;
mod recovery;
mod rights;
mod settings;
mod shutdown;
mod store_faults;
mod work;
