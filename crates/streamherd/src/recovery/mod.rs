//! Which store this is: the epoch, and what a new one means.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::{ClusterMode, Settings};
use crate::error::ConnectError;
use crate::id::Epoch;
use crate::notification::DataLoss;
use crate::store::{Endpoint, Hello, HelloRefusal, Store, StoreError};

/// The epoch that this client works under, and how many it has seen.
#[derive(Debug)]
pub(crate) struct Session(Mutex<State>);

#[derive(Debug, Clone)]
struct State {
    epoch: Epoch,
    era: u64,
    /// Hellos sent, and the latest of them that was answered.
    asked: u64,
    answered: u64,
}

impl Session {
    /// The first hello.
    ///
    /// # Errors
    /// What makes this service impossible here.
    pub(crate) async fn open(store: &Store, partition: u16, settings: &Settings) -> Result<Self, ConnectError> {
        let scans = !settings.recovery.scan_interval.is_zero();
        let min_idle = scans.then_some(settings.min_idle);
        let partitions = settings.partitions_in(partition);
        match store.hello(settings.lock_ttl, min_idle, partitions).await? {
            Ok(Hello { epoch }) => Ok(Self(Mutex::new(State {
                epoch,
                era: 0,
                asked: 0,
                answered: 0,
            }))),
            Err(HelloRefusal::WrongType { key, found, expected }) => {
                Err(ConnectError::WrongType { key, found, expected })
            }
            Err(HelloRefusal::FleetTtl { largest }) => Err(ConnectError::FleetTtl {
                largest,
                min_idle: settings.min_idle,
            }),
            Err(HelloRefusal::Partitions { stored }) => Err(settings.other_partitions(stored)),
        }
    }

    /// The epoch, and its number among those that this process has seen.
    pub(crate) fn current(&self) -> (Epoch, u64) {
        let state = self.state();
        (state.epoch.clone(), state.era)
    }

    /// Asks the store again; a loss is reported to the one caller that found it first. A running worker does not stop
    /// because a newcomer uses a larger `lock_ttl`: the locks protect that one's streams.
    ///
    /// # Errors
    /// Redis did not answer, or the service has become impossible.
    pub(crate) async fn hello(
        &self,
        store: &Store,
        partition: u16,
        settings: &Settings,
    ) -> Result<Option<DataLoss>, StoreError> {
        let number = {
            let mut state = self.state();
            state.asked += 1;
            state.asked
        };
        let epoch = match store
            .hello(settings.lock_ttl, None, settings.partitions_in(partition))
            .await?
        {
            Ok(Hello { epoch }) => epoch,
            Err(refusal) => return Err(StoreError::hello_refused(&format!("{refusal:?}"))),
        };
        let mut state = self.state();
        // Two tasks may ask at once, over two losses, and the older answer arrive last: it must not turn time back. No
        // lock is held while asking, as the heartbeat must not wait for a runtime that its user blocks.
        if number < state.answered {
            return Ok(None);
        }
        state.answered = number;
        if state.epoch == epoch {
            return Ok(None);
        }
        state.epoch = epoch;
        state.era += 1;
        Ok(Some(DataLoss {
            partition,
            times: state.era,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// XAUTOCLAIM-era features (`XPENDING IDLE`, exclusive ranges) came with 6.2; Valkey reports 7.2.4 or later here.
const OLDEST: (u64, u64) = (6, 2);

/// # Errors
/// [`ConnectError::TooOld`], or [`ConnectError::OtherMode`]. A server that does not tell is trusted.
pub(crate) async fn check_server(store: &Store, endpoint: &Endpoint) -> Result<(), ConnectError> {
    let Some(found) = store.server_kind().await? else {
        tracing::warn!("Redis does not tell its version to this user; 6.2 or newer is needed");
        return Ok(());
    };
    if is_too_old(&found.version) {
        return Err(ConnectError::TooOld { found: found.version });
    }
    let (found, scheme) = match (endpoint.mode(), found.mode.as_str()) {
        (ClusterMode::Standalone, "cluster") => ("a node of a cluster", "redis-cluster"),
        (ClusterMode::Standalone, "sentinel") => ("a sentinel", "redis-sentinel"),
        _ => return Ok(()),
    };
    Err(ConnectError::OtherMode {
        address: endpoint.address(),
        found,
        scheme,
    })
}

/// Warns where Redis may evict what the guarantees are made of. Where CONFIG is refused, nobody can tell.
pub(crate) async fn check_eviction(store: &Store) {
    if let Ok(policy) = store.eviction_policy().await
        && policy != "noeviction"
    {
        tracing::warn!(
            policy,
            "Redis may evict queued streams and locks when its memory is full; set maxmemory-policy noeviction"
        );
    }
}

/// Whether a server of this version lacks what streamherd is built on.
pub(crate) fn is_too_old(found: &str) -> bool {
    version(found).is_some_and(|v| v < OLDEST)
}

fn version(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(version("6.0.16") < Some(OLDEST));
        assert!(version("6.2.0") >= Some(OLDEST));
        assert!(version("10.1.0") > Some(OLDEST));
        assert_eq!(version("unknown"), None);
    }
}
