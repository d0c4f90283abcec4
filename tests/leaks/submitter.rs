//! Keeps the queue filled, with names that come again and again.

use std::sync::Arc;
use std::time::Duration;

use streamherd::{Client, Duplicates, Durability, Producer};
use streamherd_tests::{Proxied, patiently};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::fleet::{Fleet, Tally, settings};

/// Few enough to meet themselves on the queue.
pub(crate) const NAMES: usize = 5_000;
const BATCH: usize = 250;
/// Producers made for one request, as a web server may do.
const PASSING: usize = 10;
/// Not longer than it takes to look at what is kept.
const KEPT: Duration = Duration::from_secs(5);
/// Where a fault keeps the workers from theirs.
const AT_LAST: Duration = Duration::from_millis(300);

pub(crate) struct Submitter {
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

enum Order {
    GoOn,
    Pause(oneshot::Sender<()>),
}

impl Submitter {
    pub(crate) async fn start(at: &Proxied, fleet: &Fleet) -> Self {
        let producer = patiently(|| settings(at).connect_producer()).await;
        let keeping = producer.clone().retain(KEPT, NAMES).await.expect("Redis is well");
        let parallel = producer.clone().duplicates(Duplicates::Parallel);
        let (orders, inbox) = mpsc::unbounded_channel();
        let producers = [producer, keeping, parallel];
        let task = tokio::spawn(submit(
            producers,
            fleet.client().clone(),
            Arc::clone(&fleet.tally),
            inbox,
        ));
        Self { orders, task }
    }

    pub(crate) fn go_on(&mut self) {
        let _ = self.orders.send(Order::GoOn);
    }

    /// Returns when nothing more is submitted.
    pub(crate) async fn pause(&mut self) {
        let (done, is_done) = oneshot::channel();
        let _ = self.orders.send(Order::Pause(done));
        is_done.await.expect("it does not panic");
    }

    pub(crate) async fn end(self) {
        drop(self.orders);
        self.task.await.expect("it does not panic");
    }
}

async fn submit(
    producers: [Producer; 3],
    client: Client,
    tally: Arc<Tally>,
    mut inbox: mpsc::UnboundedReceiver<Order>,
) {
    let mut next = 0;
    while let Some(order) = inbox.recv().await {
        match order {
            Order::Pause(done) => drop(done.send(())),
            Order::GoOn => {
                while inbox.is_empty() {
                    let wanted = tally.leases() + BATCH;
                    // Answers are lost and servers are away; what is refused is submitted when its name comes again.
                    let items = (0..BATCH).map(|nth| (format!("s-{}", (next + nth) % NAMES), next + nth));
                    drop(producers[next / BATCH % producers.len()].submit_many(items).await);
                    drop(pass(&client, next).await);
                    next += BATCH;
                    let worked = async {
                        while tally.leases() < wanted {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    };
                    let _ = tokio::time::timeout(AT_LAST, worked).await;
                }
            }
        }
    }
    for producer in producers {
        producer.close().await;
    }
}

/// Submits by producers that are not there for long.
async fn pass(client: &Client, next: usize) -> Result<(), streamherd::error::SubmitError> {
    let durable = || {
        client.producer().durability(Durability::Replicas {
            count: 1,
            within: Duration::from_millis(1),
        })
    };
    for _ in 0..PASSING {
        drop(durable());
    }
    let name = format!("s-{}", next % NAMES);
    client.producer().submit(&name, &next).await?;
    // There is no replica.
    durable().submit(&name, &next).await?;
    Ok(())
}
