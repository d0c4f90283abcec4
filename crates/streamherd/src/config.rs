//! Every setting, its default, and the one place that checks them against each other.

mod bounds;

use std::sync::Arc;
use std::time::Duration;

use self::bounds::show;
pub(crate) use self::bounds::{range, within};
use crate::error::{ConnectError, SettingError};
use crate::keys::{Keys, Layout, Service};

/// Whether to use Redis keyspace notifications to hear of expired locks at once.
///
/// They only make recovery sooner; the scan alone is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyspaceEvents {
    /// Read `notify-keyspace-events` and add the letters that are missing (`K`, `x`); never remove any. Where CONFIG is
    /// refused, warn once and go on.
    #[default]
    Ensure,
    /// Subscribe, and trust that the server is configured.
    Assume,
    /// Don't subscribe.
    Off,
}

/// How orphans are found and what becomes of work that keeps failing.
///
/// ```
/// use streamherd::Recovery;
///
/// let recovery = Recovery { max_failures: 3, ..Recovery::default() };
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Recovery {
    /// How long an entry must have been pending before the scan may re-queue it. Default: `lock_ttl` + 0.5 s; at
    /// least `lock_ttl` + 250 ms, at most a week.
    pub min_idle: Option<Duration>,
    /// Time between two scans of a worker. Default: 1 s; from 20 ms to an hour. Zero turns scanning off, with a warning: then nothing is
    /// guaranteed about orphans.
    pub scan_interval: Duration,
    /// How much each interval varies: 0.2 is ± 20 %. Default: 0.2; from 0 to 0.5.
    pub jitter: f64,
    /// Orphans re-queued per script call. Default: 100; from 1 to 1,000.
    pub batch: usize,
    /// The failure with this number is the last: it sends the entry to the dead-letter stream. Default: 5; 0 = never.
    pub max_failures: u32,
    /// The abandonment with this number sends the entry to the dead-letter stream. Default: 5; 0 = never.
    pub max_abandonments: u32,
    /// Held for this long before it was abandoned, a stream counts its abandonments from zero again, and is not
    /// dead-lettered for this one: what runs for weeks must not die of its fifth restart. Judged by how long the entry was
    /// pending. Default: 10 minutes; 0 = never.
    pub forgive_after: Duration,
    /// About how many dead letters are kept; older ones are trimmed, counted and warned of. Default: 10,000; 0 = all.
    pub dlq_max_len: u64,
    /// Time between two sweeps of the fleet: for entries that another program has stranded (deleted their consumer,
    /// acknowledged them, moved the group) and for dead consumers. Default: 1 minute; 0 = off; from 100 ms to a day.
    pub sweep_interval: Duration,
    /// A consumer that has given no sign of life for this long and has nothing pending is removed. Default: 1 minute;
    /// from 100 ms to a week, and never before its `lock_ttl` is over.
    pub reap_after: Duration,
    /// Whether this worker writes what it holds, and what it had to give up while Redis was away, back to a Redis that
    /// has lost it. Default: true. If not, such leases are lost
    /// ([`DataLoss`](crate::error::DisownedReason::DataLoss)), and their streams with them, unless their producers submit
    /// them again.
    pub write_back: bool,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            min_idle: None,
            scan_interval: Duration::from_secs(1),
            jitter: 0.2,
            batch: 100,
            max_failures: 5,
            max_abandonments: 5,
            forgive_after: Duration::from_secs(600),
            dlq_max_len: 10_000,
            sweep_interval: Duration::from_secs(60),
            reap_after: Duration::from_secs(60),
            write_back: true,
        }
    }
}

/// How the servers belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClusterMode {
    /// One server, or one address behind which a provider keeps one.
    Standalone,
    /// A primary and its replicas, watched by sentinels, which are asked where the primary is.
    Sentinel,
    /// The open-source cluster: several masters, each with a share of the slots.
    Oss,
}

/// What the builder collected, not yet checked.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) service: String,
    pub(crate) consumer: Option<String>,
    pub(crate) lock_ttl: Duration,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) command_timeout: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) read_batch: usize,
    pub(crate) read_block: Duration,
    pub(crate) keyspace_events: KeyspaceEvents,
    pub(crate) health_interval: Duration,
    pub(crate) reconnect: (Duration, Duration),
    pub(crate) recovery: Recovery,
    /// [`None`]: one, or for who only looks, as many as there are.
    pub(crate) partitions: Option<u16>,
    pub(crate) layout: Layout,
}

impl Raw {
    pub(crate) fn new(service: String) -> Self {
        Self {
            service,
            consumer: None,
            lock_ttl: Duration::from_secs(6),
            heartbeat: None,
            command_timeout: Duration::from_secs(1),
            max_in_flight: 64,
            read_batch: 16,
            read_block: Duration::from_secs(5),
            keyspace_events: KeyspaceEvents::default(),
            health_interval: Duration::from_secs(30),
            reconnect: (Duration::from_millis(50), Duration::from_secs(1)),
            recovery: Recovery::default(),
            partitions: None,
            layout: Layout::default(),
        }
    }
}

/// Settings that agree with each other.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) service: Service,
    pub(crate) consumer: String,
    pub(crate) lock_ttl: Duration,
    pub(crate) heartbeat: Duration,
    /// A lease ends locally this long before its lock may expire.
    pub(crate) margin: Duration,
    /// Timeout of the scripts that leases wait for.
    pub(crate) lease_timeout: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) read_batch: usize,
    pub(crate) read_block: Duration,
    pub(crate) keyspace_events: KeyspaceEvents,
    pub(crate) health_interval: Duration,
    pub(crate) reconnect: (Duration, Duration),
    pub(crate) min_idle: Duration,
    /// Least idle time at which a peer may claim on a notification: at the expiry an entry has been pending for the
    /// ttl, less what passed between the read and the lock within Redis.
    pub(crate) claim_idle: Duration,
    pub(crate) recovery: Recovery,
    pub(crate) partitions: Option<u16>,
    pub(crate) layout: Layout,
}

const MIN_LOCK_TTL: Duration = Duration::from_millis(600);
const MAX_LOCK_TTL: Duration = Duration::from_secs(24 * 3600);
const MIN_MARGIN: Duration = Duration::from_millis(100);
const CLAIM_SLACK: Duration = Duration::from_millis(100);
const MAX_IN_FLIGHT: usize = 1_000_000;
/// Each has tasks of its own in every worker, and a connection to read over.
const MAX_PARTITIONS: u16 = 256;
const MAX_CONSUMER_BYTES: usize = 256;
/// What is noted of Go workers' locks is kept for ten minutes.
const MAX_GO_SCAN: Duration = Duration::from_secs(60);
/// Go workers take what nobody has touched for 40 s; heartbeats touch what was last touched 10 s ago.
const MAX_GO_HEARTBEAT: Duration = Duration::from_secs(15);

impl Settings {
    /// # Errors
    /// The first rule that is broken, with a value that would do.
    pub(crate) fn check(raw: Raw, host: impl FnOnce() -> String) -> Result<Self, SettingError> {
        let service = Service::parse(&raw.service)?;
        let consumer = raw.consumer.unwrap_or_else(host);
        if consumer.is_empty() || consumer.len() > MAX_CONSUMER_BYTES || consumer.contains(char::is_control) {
            return Err(SettingError::new(
                "consumer",
                format!("{consumer:?}"),
                "a consumer name has 1 to 256 bytes and no control characters",
                "\"worker-1\"",
            ));
        }

        if let Some(partitions) = raw.partitions {
            range("partitions", partitions, 1, MAX_PARTITIONS)?;
        }

        let ttl = raw.lock_ttl;
        within("lock_ttl", ttl, MIN_LOCK_TTL, MAX_LOCK_TTL)?;
        let heartbeat = raw.heartbeat.unwrap_or(ttl / 3);
        within("heartbeat", heartbeat, Duration::from_millis(10), ttl / 3)
            .map_err(|e| e.because("it is at most a third of lock_ttl, so that two beats may be missed"))?;
        let margin = (ttl / 12).max(MIN_MARGIN);
        within(
            "command_timeout",
            raw.command_timeout,
            Duration::from_millis(50),
            Duration::from_secs(60),
        )?;
        let lease_timeout = raw.command_timeout.min(ttl / 6);
        let needed = heartbeat + 2 * lease_timeout + margin;
        if needed > ttl {
            return Err(SettingError::new(
                "heartbeat",
                show(heartbeat),
                format!(
                    "heartbeat + 2 × lease timeout ({}) + margin ({}) is {} and must fit into lock_ttl ({}), or one slow \
                     answer ends every lease",
                    show(lease_timeout),
                    show(margin),
                    show(needed),
                    show(ttl)
                ),
                show(ttl.saturating_sub(2 * lease_timeout + margin)),
            ));
        }

        let mut recovery = raw.recovery;
        let mut keyspace_events = raw.keyspace_events;
        if raw.layout == Layout::GoCompatible {
            if let Some(partitions) = raw.partitions {
                range("partitions", partitions, 1, 1).map_err(|e| e.because("the layout of Go workers has one"))?;
            }
            within("heartbeat", heartbeat, Duration::ZERO, MAX_GO_HEARTBEAT)
                .map_err(|e| e.because("Go workers take what was not touched for 40 s"))?;
            if !recovery.scan_interval.is_zero() {
                within(
                    "recovery.scan_interval",
                    recovery.scan_interval,
                    Duration::ZERO,
                    MAX_GO_SCAN,
                )
                .map_err(|e| e.because("what Go workers hold is watched by the scan"))?;
            }
            // They know nothing of it, and would find locks on what they are given.
            recovery.write_back = false;
            // They set the flags, and fail to start where they find any.
            if keyspace_events == KeyspaceEvents::Ensure {
                keyspace_events = KeyspaceEvents::Assume;
            }
        }
        let min_idle = recovery.min_idle.unwrap_or(ttl + Duration::from_millis(500));
        within(
            "recovery.min_idle",
            min_idle,
            ttl + Duration::from_millis(250),
            Duration::from_secs(7 * 24 * 3600),
        )
        .map_err(|e| e.because("it is at least lock_ttl + 250 ms, or a stream is taken from an owner that lives"))?;
        if !recovery.scan_interval.is_zero() {
            within(
                "recovery.scan_interval",
                recovery.scan_interval,
                Duration::from_millis(20),
                Duration::from_secs(3600),
            )
            .map_err(|e| e.because("zero turns the scan off"))?;
        }
        if !recovery.sweep_interval.is_zero() {
            within(
                "recovery.sweep_interval",
                recovery.sweep_interval,
                Duration::from_millis(100),
                Duration::from_secs(24 * 3600),
            )
            .map_err(|e| e.because("zero turns the sweep off"))?;
        }
        within(
            "recovery.reap_after",
            recovery.reap_after,
            Duration::from_millis(100),
            Duration::from_secs(7 * 24 * 3600),
        )?;
        range("recovery.jitter", recovery.jitter, 0.0, 0.5)?;
        range("recovery.batch", recovery.batch, 1, 1_000)?;
        check_max_in_flight(raw.max_in_flight)?;
        range("read_batch", raw.read_batch, 1, 1_000)?;
        within(
            "read_block",
            raw.read_block,
            Duration::from_millis(10),
            Duration::from_secs(60),
        )?;
        if !raw.health_interval.is_zero() {
            within(
                "health_interval",
                raw.health_interval,
                Duration::from_millis(100),
                Duration::from_secs(3600),
            )?;
        }
        let (first, last) = raw.reconnect;
        within("reconnect", first, Duration::from_millis(1), last)
            .map_err(|e| e.because("the first wait is at most the longest one"))?;
        within("reconnect", last, first, Duration::from_secs(60))?;
        // While leases are held a longer wait than this would outlive them.
        let longest = last.min(ttl / 6);

        Ok(Self {
            service,
            consumer,
            lock_ttl: ttl,
            heartbeat,
            margin,
            lease_timeout,
            command_timeout: raw.command_timeout,
            max_in_flight: raw.max_in_flight,
            read_batch: raw.read_batch,
            read_block: raw.read_block,
            keyspace_events,
            health_interval: raw.health_interval,
            reconnect: (first.min(longest), longest),
            min_idle,
            claim_idle: ttl.saturating_sub(CLAIM_SLACK),
            recovery,
            partitions: raw.partitions,
            layout: raw.layout,
        })
    }
}

impl Settings {
    /// Into how many partitions the service is divided.
    pub(crate) fn partitions(&self) -> u16 {
        self.partitions.unwrap_or(1)
    }

    /// What the hello to a partition says of their number: the first one keeps it.
    pub(crate) fn partitions_in(&self, partition: u16) -> Option<u16> {
        (partition == 0).then(|| self.partitions())
    }

    /// That Redis keeps another number.
    pub(crate) fn other_partitions(&self, stored: u16) -> ConnectError {
        ConnectError::Partitions {
            stored,
            wanted: self.partitions(),
            control: self.keys_of(0).control().to_owned(),
        }
    }

    fn keys_of(&self, partition: u16) -> Keys {
        match self.layout {
            Layout::Native => Keys::new(&self.service, partition),
            Layout::GoCompatible => Keys::go(&self.service),
        }
    }

    /// The keys of so many partitions.
    pub(crate) fn keys(&self, partitions: u16) -> Vec<Arc<Keys>> {
        (0..partitions)
            .map(|partition| Arc::new(self.keys_of(partition)))
            .collect()
    }
}

/// # Errors
/// It is out of bounds.
pub(crate) fn check_max_in_flight(streams: usize) -> Result<(), SettingError> {
    range("max_in_flight", streams, 1, MAX_IN_FLIGHT)
}

/// The name under which this process consumes unless told: `POD_NAME`, else `HOSTNAME`, else the host's own name, else a
/// random one.
pub(crate) fn default_consumer() -> String {
    let from_env = |name: &str| std::env::var(name).ok();
    let usable =
        |name: &String| !name.trim().is_empty() && name.len() <= MAX_CONSUMER_BYTES && !name.contains(char::is_control);
    from_env("POD_NAME")
        .filter(usable)
        .or_else(|| from_env("HOSTNAME").filter(usable))
        .or_else(|| host_name().filter(usable))
        .unwrap_or_else(|| crate::id::random_text(8))
}

pub(crate) fn host_name() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
