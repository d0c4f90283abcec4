//! A model of the lease protocol.

pub mod bounds;
pub mod broken;
mod canonical;
mod exchange;
pub mod explore;
pub mod properties;
pub mod protocol;
pub mod redis;
pub mod seeded;
mod step;
pub mod survivor;
pub mod worker;
pub mod world;

pub use bounds::{Bounds, Endings, Faults};
pub use protocol::Protocol;
pub use seeded::Seeded;
pub use world::{Action, World};
