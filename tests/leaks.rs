//! Whether anything grows that a client, its Redis or its process keeps: measured after so many leases with faults all the
//! while, and again after many more.

#[path = "leaks/mod.rs"]
mod leaks;
