//! Every setting, its default, and the one place that checks them against each other.

use std::sync::Arc;
use std::time::Duration;

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
    /// least `lock_ttl` + 250 ms.
    pub min_idle: Option<Duration>,
    /// Time between two scans of a worker. Default: 1 s. Zero turns scanning off, with a warning: then nothing is
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
    /// acknowledged them, moved the group) and for dead consumers. Default: 1 minute; 0 = off; from 100 ms.
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
        if raw.layout == Layout::GoCompatible {
            if let Some(partitions) = raw.partitions {
                range("partitions", partitions, 1, 1).map_err(|e| e.because("the layout of Go workers has one"))?;
            }
            within("heartbeat", heartbeat, Duration::ZERO, MAX_GO_HEARTBEAT)
                .map_err(|e| e.because("Go workers take what was not touched for 40 s"))?;
            // They know nothing of it, and would find locks on what they are given.
            recovery.write_back = false;
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
            keyspace_events: raw.keyspace_events,
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

pub(crate) fn within(
    setting: &'static str,
    value: Duration,
    low: Duration,
    high: Duration,
) -> Result<(), SettingError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(SettingError::new(
        setting,
        show(value),
        format!("it must be from {} to {}", show(low), show(high)),
        show(if value < low { low } else { high }),
    ))
}

pub(crate) fn range<T: Copy + PartialOrd + std::fmt::Display>(
    setting: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), SettingError> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(SettingError::new(
        setting,
        value.to_string(),
        format!("it must be from {low} to {high}"),
        if value < low { low.to_string() } else { high.to_string() },
    ))
}

fn show(span: Duration) -> String {
    format!("{span:?}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(change: impl FnOnce(&mut Raw)) -> Result<Settings, SettingError> {
        let mut raw = Raw::new("orders".to_owned());
        change(&mut raw);
        Settings::check(raw, || "host".to_owned())
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_defaults_agree_with_each_other() {
        let settings = check(|_| ()).unwrap();
        assert_eq!(settings.heartbeat, ms(2_000));
        assert_eq!(settings.margin, ms(500));
        assert_eq!(settings.lease_timeout, ms(1_000));
        assert_eq!(settings.min_idle, ms(6_500));
        assert_eq!(settings.claim_idle, ms(5_900));
        assert_eq!(settings.consumer, "host");
    }

    #[test]
    fn an_error_names_the_setting_the_value_the_rule_and_a_value_that_would_do() {
        let cases: Vec<(&str, SettingError)> = vec![
            ("service", check(|r| r.service = "a b".into()).unwrap_err()),
            ("consumer", check(|r| r.consumer = Some(String::new())).unwrap_err()),
            ("lock_ttl", check(|r| r.lock_ttl = ms(10)).unwrap_err()),
            ("heartbeat", check(|r| r.heartbeat = Some(ms(2_001))).unwrap_err()),
            (
                "recovery.min_idle",
                check(|r| r.recovery.min_idle = Some(ms(6_200))).unwrap_err(),
            ),
            (
                "recovery.scan_interval",
                check(|r| r.recovery.scan_interval = ms(1)).unwrap_err(),
            ),
            (
                "recovery.sweep_interval",
                check(|r| r.recovery.sweep_interval = ms(1)).unwrap_err(),
            ),
            (
                "recovery.reap_after",
                check(|r| r.recovery.reap_after = ms(99)).unwrap_err(),
            ),
            ("recovery.jitter", check(|r| r.recovery.jitter = 0.9).unwrap_err()),
            ("recovery.jitter", check(|r| r.recovery.jitter = f64::NAN).unwrap_err()),
            ("recovery.batch", check(|r| r.recovery.batch = 0).unwrap_err()),
            ("max_in_flight", check(|r| r.max_in_flight = 0).unwrap_err()),
            ("read_batch", check(|r| r.read_batch = 0).unwrap_err()),
            ("read_block", check(|r| r.read_block = Duration::ZERO).unwrap_err()),
            (
                "command_timeout",
                check(|r| r.command_timeout = Duration::ZERO).unwrap_err(),
            ),
            ("partitions", check(|r| r.partitions = Some(0)).unwrap_err()),
            ("partitions", check(|r| r.partitions = Some(257)).unwrap_err()),
            ("reconnect", check(|r| r.reconnect = (ms(500), ms(100))).unwrap_err()),
            ("health_interval", check(|r| r.health_interval = ms(1)).unwrap_err()),
        ];
        for (setting, error) in cases {
            assert_eq!(error.setting, setting);
            let text = error.to_string();
            for part in [setting, &error.value, &error.rule, &error.suggestion] {
                assert!(!part.is_empty() && text.contains(part), "{text} lacks {part:?}");
            }
        }
    }

    #[test]
    fn zero_turns_off_what_may_be_turned_off() {
        check(|r| {
            r.recovery.scan_interval = Duration::ZERO;
            r.health_interval = Duration::ZERO;
            r.recovery.max_failures = 0;
            r.recovery.max_abandonments = 0;
            r.recovery.dlq_max_len = 0;
            r.recovery.forgive_after = Duration::ZERO;
            r.recovery.sweep_interval = Duration::ZERO;
        })
        .unwrap();
    }

    proptest! {
        #[test]
        fn what_passes_leaves_room_for_two_lost_answers(ttl in 0_u64..100_000, beat in 0_u64..40_000, timeout in 0_u64..5_000) {
            if let Ok(s) = check(|r| {
                r.lock_ttl = ms(ttl);
                r.heartbeat = Some(ms(beat));
                r.command_timeout = ms(timeout);
            }) {
                prop_assert!(s.heartbeat + 2 * s.lease_timeout + s.margin <= s.lock_ttl);
                prop_assert!(s.heartbeat * 3 <= s.lock_ttl + ms(1));
                prop_assert!(s.reconnect.1 <= s.lock_ttl / 6);
                prop_assert!(s.min_idle >= s.lock_ttl + ms(250));
            }
        }

        #[test]
        fn the_suggested_ttl_passes(ttl in 0_u64..100_000_000) {
            if check(|r| r.lock_ttl = ms(ttl)).is_err() {
                let mended = if ms(ttl) < MIN_LOCK_TTL { MIN_LOCK_TTL } else { MAX_LOCK_TTL };
                prop_assert!(check(|r| r.lock_ttl = mended).is_ok());
            }
        }
    }
}
