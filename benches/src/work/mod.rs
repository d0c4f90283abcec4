//! The work as streamherd does it.

pub(crate) mod drain;
pub(crate) mod hold;
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
}
