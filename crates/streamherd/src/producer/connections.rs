//! What a producer's calls go over.

use std::time::Duration;

use crate::runtime::Handle;
use crate::store::{Lines, Network};

const GOODBYE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub(super) enum Connections {
    Own(Network, Lines),
    /// Those of a client, which is kept running.
    Shared {
        _alive: Handle,
    },
    /// In part its own.
    Durable(Box<Self>, Lines),
}

impl Connections {
    pub(super) fn are_shared(&self) -> bool {
        match self {
            Self::Own(..) => false,
            Self::Shared { .. } => true,
            Self::Durable(others, _) => others.are_shared(),
        }
    }

    pub(super) async fn close(self) {
        let mut connections = self;
        loop {
            connections = match connections {
                Self::Own(network, lines) => {
                    lines.close(GOODBYE).await;
                    return network.close();
                }
                Self::Durable(others, lines) => {
                    lines.close(GOODBYE).await;
                    *others
                }
                Self::Shared { .. } => return,
            };
        }
    }
}
