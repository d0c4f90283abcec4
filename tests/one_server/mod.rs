//! What can't be on every topology, and why. All else is in `contract/`, and runs on each.
//!
//! - [`addresses`]: unix sockets and hosts that can't be reached are addresses of one server, and so is how many
//!   connections a client needs there.
//! - [`breaker`]: what one server says that is away for one reason or another.
//! - [`clocks`]: the testkit gives one server a clock of its own.
//! - [`hostile`]: how much memory one worker takes is the same wherever its server is.
//! - [`many_outages`]: the counts are of one server's connections, and the rest is the client's own.
//! - [`databases`]: a cluster has no other than 0; it runs under Sentinels too.
//! - [`go_layout`]: a cluster has no queue of Go workers; it runs under Sentinels too.
//! - [`go_peer`]: the scripted Go worker that tests of that queue use, by itself.
//! - [`doctor`], [`doctor_logins`]: what is wrong with one server, and the commands for that server that mend it.

mod addresses;
mod breaker;
mod clocks;
mod databases;
mod doctor;
mod doctor_logins;
mod go_layout;
mod go_peer;
mod hostile;
mod many_outages;
