//! Fuzz targets: whatever producers, operators, other programs and servers say is read, or refused with a reason, and
//! never a panic.
//!
//! Each target is a property of one input, and runs in three ways:
//!
//! - `cargo test` replays the inputs that are kept in `__fuzz__/<target>/corpus`, one file each, under a name that tells
//!   what it is; and then as many drawn ones as the target says. A failure prints the smallest input that it could find,
//!   and a line `BOLERO_RANDOM_SEED=<number>`, with which the same test draws it again as its first one.
//!   `BOLERO_RANDOM_ITERATIONS=<number>` draws more.
//! - A coverage-guided engine, for as long as one lets it, after `cargo install cargo-bolero`:
//!   `cargo +nightly bolero test -p streamherd --sanitizer NONE -T 10min fuzz::entries::any_input_is_an_entry_or_poison`.
//!   What it finds goes into `__fuzz__/<target>/crashes`, and is replayed from then on; move it to the corpus under a name.
//! - `cargo bolero list` names the targets.
//!
//! Those of raw bytes have a corpus that people can read; those of something that is drawn in the form that the reader
//! expects get beyond its first check.

mod entries;
mod ids;
mod keys;
mod replies;
mod servers;
mod shape;
mod traces;
mod urls;
