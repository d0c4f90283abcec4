//! What goes wrong, and what operators do meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use streamherd::DeadLetterFilter;
use streamherd_tests::letters::admin;
use streamherd_tests::{Proxied, Redis, Truth, dropped_after};

use super::fleet::{Fleet, IN_FLIGHT, settings};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// `CLIENT KILL` of all that read and write, or of all that listen.
    Kill(&'static str),
    Sever,
    Refuse,
    Swallow,
    SlowDown,
    ForgetScripts,
    Restart,
    RestartEmpty,
    /// A worker of another program takes some streams and dies.
    Abandon,
    ReplaceWorker,
    /// A client is wanted no more before it is connected.
    DroppedConnect,
    /// An operator queues some dead letters again, and deletes the others.
    Letters,
}

pub(crate) const ALL: [Fault; 13] = [
    Fault::Kill("normal"),
    Fault::Kill("pubsub"),
    Fault::Sever,
    Fault::Refuse,
    Fault::Swallow,
    Fault::SlowDown,
    Fault::ForgetScripts,
    Fault::Restart,
    Fault::Abandon,
    Fault::RestartEmpty,
    Fault::ReplaceWorker,
    Fault::DroppedConnect,
    Fault::Letters,
];

/// Long enough to be noticed, and for breakers to open; shorter than a lease.
const SPELL: Duration = Duration::from_millis(400);
const SLOWNESS: Duration = Duration::from_millis(20);

pub(crate) struct Faults {
    random: StdRng,
    /// What is to come, so that each comes as often.
    deck: Vec<Fault>,
    pub(crate) counts: BTreeMap<Fault, usize>,
}

impl Faults {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            deck: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn draw(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck = ALL.to_vec();
        }
        let drawn = self.random.random_range(0..self.deck.len());
        self.deck.swap_remove(drawn)
    }

    /// Of how many streams a store without its data may have been told at most: by workers, of what they held or had given
    /// up, and by the producer that keeps what it submits.
    pub(crate) fn written_back(&self) -> usize {
        let losses = self.counts.get(&Fault::RestartEmpty).copied().unwrap_or(0);
        losses * (4 * 2 * IN_FLIGHT + super::submitter::NAMES)
    }

    pub(crate) async fn cause(&mut self, fault: Fault, redis: &mut Redis, proxy: &Proxied, fleet: &mut Fleet) {
        *self.counts.entry(fault).or_default() += 1;
        match fault {
            Fault::Kill(kind) => drop(Truth::of(redis).cmd(&format!("CLIENT KILL TYPE {kind} SKIPME yes"))),
            Fault::Sever => proxy.sever_all(),
            Fault::Refuse => {
                proxy.refuse(true);
                tokio::time::sleep(SPELL).await;
                proxy.refuse(false);
            }
            Fault::Swallow => {
                proxy.swallow(true);
                tokio::time::sleep(SPELL).await;
                proxy.swallow(false);
            }
            Fault::SlowDown => {
                proxy.slow_down(SLOWNESS);
                tokio::time::sleep(SPELL).await;
                proxy.slow_down(Duration::ZERO);
            }
            Fault::ForgetScripts => drop(Truth::of(redis).cmd("SCRIPT FLUSH")),
            Fault::Restart => tokio::task::block_in_place(|| redis.restart()),
            Fault::RestartEmpty => tokio::task::block_in_place(|| redis.restart_empty()),
            Fault::Abandon => {
                let read = format!("XREADGROUP GROUP workers {GHOST} COUNT 20 STREAMS T:input >");
                Truth::of(redis).cmd(&read);
            }
            Fault::ReplaceWorker => fleet.replace_one().await,
            Fault::DroppedConnect => {
                let polls = self.random.random_range(1..6);
                drop(dropped_after(polls, settings(proxy).connect()).await);
                drop(dropped_after(polls, settings(proxy).connect_producer()).await);
                drop(dropped_after(polls, settings(proxy).connect_admin()).await);
            }
            Fault::Letters => {
                let admin = admin(redis).await;
                let mut run = admin.redrive(DeadLetterFilter::default());
                for _ in 0..20 {
                    // It is what the workers do with them that counts.
                    let _ = run.next().await;
                }
                admin.close().await;
                purge(redis).await;
            }
        }
    }
}

/// It never said that it was there, so its name is kept for an hour.
const GHOST: &str = "ghost";

/// Deletes all dead letters.
pub(crate) async fn purge(redis: &Redis) {
    let admin = admin(redis).await;
    let report = admin.purge(DeadLetterFilter::default()).finish().await;
    report.expect("Redis is well");
    admin.close().await;
}
