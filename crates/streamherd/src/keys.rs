//! The names of a service's keys and channels, for every partition in one cluster slot.

use std::fmt;

use crate::error::SettingError;
use crate::id::{EntryId, Lane};

const MAX_SERVICE_BYTES: usize = 128;

/// The validated name of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service(String);

impl Service {
    /// # Errors
    /// Names that are empty, longer than 128 bytes, or hold a brace, white space or a control character: a brace would
    /// end the hash tag and scatter the keys over the cluster.
    pub(crate) fn parse(name: &str) -> Result<Self, SettingError> {
        let bad = |c: char| c == '{' || c == '}' || c.is_whitespace() || c.is_control();
        if !name.is_empty() && name.len() <= MAX_SERVICE_BYTES && !name.contains(bad) {
            return Ok(Self(name.to_owned()));
        }
        let mut mended: String = name
            .trim()
            .chars()
            .map(|c| if bad(c) { '-' } else { c })
            .take(MAX_SERVICE_BYTES / 4)
            .collect();
        if mended.is_empty() {
            "orders".clone_into(&mut mended);
        }
        Err(SettingError {
            setting: "service",
            value: format!("{name:?}"),
            rule: "a service name has 1 to 128 bytes and no braces, white space or control characters".to_owned(),
            suggestion: format!("{mended:?}"),
        })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// By which names a service is kept in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Layout {
    /// streamherd's own: `{<service>:<partition>}:…`.
    #[default]
    Native,
    /// That of the Go library redis-stream-client-go, for a fleet in which Go and Rust workers share one queue until all are
    /// moved: `<service>-input`, its group `<service>-group`, `<service>-input-dlq`, and for each entry a lock
    /// `<data stream><MUTEX_KEY_SEP><entry id>`. What Go workers know nothing of is in `<service>-sh:…`.
    ///
    /// One server, or Sentinel: on a cluster these keys are in different slots, and connecting refuses it. One partition; no
    /// coalescing of duplicates; no front lane, so that what is re-queued waits behind the backlog, where Go workers take it,
    /// too; no write-back and no quiet time after a loss of data; fencing tokens and exclusiveness among Rust workers
    /// only, as a Go worker locks without a token and goes on with a lock that it has lost. MIGRATION.md in the repository
    /// says what that means.
    GoCompatible,
}

/// The keys of one partition. In the native layout their common hash tag `{<service>:<partition>}` keeps them in one slot, so
/// that every state change is one script on any topology.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    layout: Layout,
    /// The consumer group of both lanes.
    group: String,
    pub(crate) input: String,
    pub(crate) front: String,
    dlq: String,
    epoch: String,
    control: String,
    delayed: String,
    delayed_body: String,
    live: String,
    consumers: String,
    pub(crate) scan: String,
    nothing: String,
    /// A lock key is this prefix and the text form of an [`EntryId`]. The lock that Go workers know an entry by stands beside it;
    /// only scripts name that.
    lock_prefix: String,
    /// What matches the beginning of all keys of all partitions that only streamherd uses.
    any: String,
}

impl Keys {
    pub(crate) fn new(service: &Service, partition: u16) -> Self {
        let tagged = format!("{{{service}:{partition}}}:");
        let any = format!("{{{}:[0-9]*}}:", literal(&service.0));
        Self {
            input: format!("{tagged}input"),
            dlq: format!("{tagged}dlq"),
            ..Self::beginning(&tagged, any)
        }
    }

    /// The only partition in the layout of Go workers.
    pub(crate) fn go(service: &Service) -> Self {
        let any = format!("{}-sh:", literal(&service.0));
        Self {
            layout: Layout::GoCompatible,
            group: format!("{service}-group"),
            input: format!("{service}-input"),
            dlq: format!("{service}-input-dlq"),
            ..Self::beginning(&format!("{service}-sh:"), any)
        }
    }

    fn beginning(with: &str, any: String) -> Self {
        let key = |name: &str| format!("{with}{name}");
        Self {
            layout: Layout::Native,
            group: "workers".to_owned(),
            input: String::new(),
            dlq: String::new(),
            front: key("front"),
            epoch: key("epoch"),
            control: key("control"),
            delayed: key("delayed"),
            delayed_body: key("delayed:body"),
            live: key("live"),
            consumers: key("consumers"),
            scan: key("scan"),
            nothing: key("lock:0-0"),
            lock_prefix: key("lock:"),
            any,
        }
    }

    pub(crate) const fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    pub(crate) fn control(&self) -> &str {
        &self.control
    }

    pub(crate) fn stream(&self, lane: Lane) -> &str {
        match lane {
            Lane::Front => &self.front,
            Lane::Input => &self.input,
        }
    }

    pub(crate) fn lock(&self, id: &EntryId) -> String {
        format!("{}{id}", self.lock_prefix)
    }

    /// What all lock keys have in common before the text form of their entry.
    pub(crate) fn lock_prefix(&self) -> &str {
        &self.lock_prefix
    }

    /// All keys but the locks, in the order in which the scripts know them; the last is the lock of no entry.
    pub(crate) fn all(&self) -> [&str; 11] {
        [
            &self.epoch,
            &self.control,
            &self.input,
            &self.front,
            &self.dlq,
            &self.delayed,
            &self.delayed_body,
            &self.live,
            &self.consumers,
            &self.scan,
            &self.nothing,
        ]
    }

    /// The entry whose lock `key` is, if it is one of this partition's.
    pub(crate) fn entry_of_lock(&self, key: &str) -> Option<EntryId> {
        key.strip_prefix(&self.lock_prefix)?.parse().ok()
    }

    /// The pattern of the keyspace channels of all partitions' locks.
    pub(crate) fn lock_channel_pattern(&self, database: u8) -> String {
        format!("__keyspace@{database}__:{}lock:*", self.any)
    }

    /// The patterns of all partitions' keys.
    pub(crate) fn patterns(&self) -> Vec<String> {
        let all = format!("{}*", self.any);
        match self.layout {
            Layout::Native => vec![all],
            Layout::GoCompatible => vec![
                literal(&self.input),
                literal(&self.dlq),
                all,
                "*<MUTEX_KEY_SEP>*".to_owned(),
            ],
        }
    }
}

/// The partition that a key names in its hash tag, whoever's it is.
pub(crate) fn partition_of_key(key: &str) -> Option<u16> {
    let (tag, _) = key.strip_prefix('{')?.split_once('}')?;
    tag.rsplit_once(':')?.1.parse().ok()
}

/// The pattern that matches this text only.
pub(crate) fn literal(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = matches!(c, '*' | '?' | '[' | ']' | '\\' | '^').then_some('\\');
            escape.into_iter().chain([c])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::StreamId;

    fn keys(service: &str) -> Keys {
        Keys::new(&Service::parse(service).unwrap(), 0)
    }

    #[test]
    fn keys_carry_one_hash_tag() {
        let keys = keys("orders");
        assert_eq!(keys.input, "{orders:0}:input");
        assert_eq!(keys.front, "{orders:0}:front");
        let id = "5-1".parse().unwrap();
        assert_eq!(keys.lock(&id), "{orders:0}:lock:5-1");
    }

    #[test]
    fn the_lanes_do_not_share_a_lock() {
        let keys = keys("orders");
        let id = StreamId { ms: 5, seq: 1 };
        let [front, input] = Lane::ALL.map(|lane| keys.lock(&EntryId { lane, id }));
        assert_ne!(front, input);
    }

    #[test]
    fn glob_characters_of_a_service_match_only_themselves() {
        assert_eq!(
            keys("a*[b]?\\").lock_channel_pattern(3),
            "__keyspace@3__:{a\\*\\[b\\]\\?\\\\:[0-9]*}:lock:*"
        );
        assert_eq!(keys("a*").patterns(), ["{a\\*:[0-9]*}:*"]);
    }

    #[test]
    fn go_workers_find_what_they_know_where_they_look_for_it() {
        let keys = Keys::go(&Service::parse("a*").unwrap());
        assert_eq!((keys.input.as_str(), keys.group()), ("a*-input", "a*-group"));
        assert_eq!(keys.all()[4], "a*-input-dlq");
        assert_eq!(keys.lock(&"5-1".parse().unwrap()), "a*-sh:lock:5-1");
        assert_eq!(keys.lock_channel_pattern(3), "__keyspace@3__:a\\*-sh:lock:*");
        assert_eq!(
            keys.patterns(),
            ["a\\*-input", "a\\*-input-dlq", "a\\*-sh:*", "*<MUTEX_KEY_SEP>*"]
        );
    }

    #[test]
    fn a_bad_service_name_is_answered_with_one_that_would_do() {
        for name in ["", " ", "my orders", "{orders}", "a\nb", &"x".repeat(129)] {
            let error = Service::parse(name).unwrap_err();
            assert_eq!(error.setting, "service");
            let suggestion: String = serde_json::from_str(&error.suggestion).unwrap();
            assert!(Service::parse(&suggestion).is_ok(), "{name:?} -> {suggestion}");
        }
    }

    proptest! {
        #[test]
        fn a_lock_key_names_its_entry(front: bool, ms: u64, seq: u64, service in "[a-z*?\\[\\]:_.-]{1,20}") {
            let keys = keys(&service);
            let lane = if front { Lane::Front } else { Lane::Input };
            let id = EntryId { lane, id: StreamId { ms, seq } };
            prop_assert_eq!(keys.entry_of_lock(&keys.lock(&id)), Some(id));
        }

        #[test]
        fn a_foreign_key_names_no_entry(key in "\\PC{0,60}") {
            prop_assert_eq!(keys("orders").entry_of_lock(&key), None);
        }
    }
}
