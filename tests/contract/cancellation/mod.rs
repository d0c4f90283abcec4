//! Every public async function is dropped at every place where that can happen, and nothing is lost, doubled or left.

mod admins;
mod clients;
mod connecting;
mod leases;
mod listed;
mod producers;
mod receiving;
mod workers;

use streamherd_testkit::eventually;
use streamherd_tests::{SOON, Truth};

/// Waits until the library has no connection to Redis, no task, and no name there.
async fn nothing_is_left(truth: &mut Truth) {
    eventually(SOON, "connections, tasks and names are gone", || {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let rows = truth.cmd("HLEN T:consumers").int();
        let left = truth.clients().len() + tasks + names_in_the_groups(truth);
        async move { (left == 0 && rows == 0).then_some(()) }
    })
    .await;
    assert!(truth.locks().is_empty());
    assert_eq!(truth.pending_count(), 0);
}

fn names_in_the_groups(truth: &mut Truth) -> usize {
    let lanes = ["input", "front"].map(|lane| truth.cmd(&format!("XINFO CONSUMERS T:{lane} workers")));
    let there = lanes.iter().filter(|lane| !lane.is_error());
    there.map(|lane| lane.array().len()).sum()
}

/// What the test's runtime and Redis have at one moment, of which nothing may become more.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    tasks: usize,
    connections: usize,
}

impl Standing {
    fn of(truth: &mut Truth) -> Self {
        Self {
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            connections: truth.clients().len(),
        }
    }

    /// Waits until there is no more than this again.
    async fn returns(&self, truth: &mut Truth) {
        eventually(SOON, "no task and no connection is left over", || {
            let now = Self::of(truth);
            let back = now.tasks <= self.tasks && now.connections <= self.connections;
            async move { back.then_some(()) }
        })
        .await;
    }
}
