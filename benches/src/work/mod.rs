//! The work as streamherd does it.

pub(crate) mod drain;
pub(crate) mod hold;
pub(crate) mod idle;
pub(crate) mod keep;
pub(crate) mod pace;
pub(crate) mod serve;
pub(crate) mod submit;

use serde::{Deserialize, Serialize};
use streamherd::{Builder, Client};

/// Where the service is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Service {
    /// Of the server.
    pub url: String,
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u16,
}

impl Service {
    pub(crate) fn builder(&self) -> Builder {
        Client::builder(&self.name).url(&self.url).partitions(self.partitions)
    }

    /// The stream on which what is submitted waits, until it is done.
    pub(crate) fn input(&self, partition: u16) -> String {
        format!("{{{}:{partition}}}:input", self.name)
    }

    /// Those of all partitions.
    pub(crate) fn inputs(&self) -> Vec<String> {
        (0..self.partitions).map(|partition| self.input(partition)).collect()
    }
}
