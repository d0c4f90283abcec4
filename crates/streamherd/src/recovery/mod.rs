//! Which store this is, what is wrong with it, and how it learns again what it has forgotten.

mod breaker;
mod masters;
mod prober;
mod restore;
mod session;

pub use breaker::BreakerState;
pub(crate) use masters::{Master, Masters};
pub(crate) use prober::Prober;
pub(crate) use restore::restore;
pub(crate) use session::{News, Session};

use crate::config::ClusterMode;
use crate::error::ConnectError;
use crate::store::{Endpoint, ServerKind, Store};

/// XAUTOCLAIM-era features (`XPENDING IDLE`, exclusive ranges) came with 6.2; Valkey reports 7.2.4 or later here.
const OLDEST: (u64, u64) = (6, 2);

/// # Errors
/// [`ConnectError::TooOld`], or [`ConnectError::OtherMode`]. A server that does not tell is trusted.
pub(crate) async fn check_server(store: &Store, endpoint: &Endpoint) -> Result<(), ConnectError> {
    let Some(found) = store.server_kind().await? else {
        tracing::warn!(
            "Redis does not tell its version and which process it is to this user (INFO server); 6.2 or newer is needed, and \
             after a failover that lost writes two workers may hold one stream for up to a lock_ttl"
        );
        return Ok(());
    };
    if is_too_old(&found.version) {
        return Err(ConnectError::TooOld { found: found.version });
    }
    check_mode(&found, endpoint)
}

/// Makes sure that a server which is part of something larger is not used as one of its own: that works for as long as what
/// is asked for happens to be there.
///
/// # Errors
/// [`ConnectError::OtherMode`].
pub(crate) fn check_mode(found: &ServerKind, endpoint: &Endpoint) -> Result<(), ConnectError> {
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
