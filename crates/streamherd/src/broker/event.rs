//! What a notification says, and which flags make Redis send it.

use std::borrow::Borrow;

use crate::id::EntryId;
use crate::keys::{self, Keys};

/// The partition and the entry whose lock expired, if that is what the event tells. `keys` are those of all partitions, by
/// number.
pub(crate) fn lock_expired<K: Borrow<Keys>>(keys: &[K], operation: &str, key: &str) -> Option<(u16, EntryId)> {
    if operation != "expired" {
        return None;
    }
    // Without a tag it is of the layout that has one partition.
    let partition = keys::partition_of_key(key).unwrap_or(0);
    let id = keys.get(usize::from(partition))?.borrow().entry_of_lock(key)?;
    Some((partition, id))
}

/// The value for `notify-keyspace-events` with which expiries reach `__keyspace@…__` channels, keeping every letter
/// that is set; [`None`] if it is fine as it is. `A` stands for all classes of events, but not for a channel.
pub(crate) fn with_expired(flags: &str) -> Option<String> {
    let channel = flags.contains('K');
    let class = flags.contains('x') || flags.contains('A');
    if channel && class {
        return None;
    }
    let mut wanted = flags.to_owned();
    if !channel {
        wanted.push('K');
    }
    if !class {
        wanted.push('x');
    }
    Some(wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::Service;

    #[test]
    fn only_the_expiry_of_a_lock_is_an_event() {
        let keys = [0, 1].map(|partition| Keys::new(&Service::parse("orders").unwrap(), partition));
        let lock = "{orders:0}:lock:front:5-0";
        let id = "front:5-0".parse().unwrap();
        assert_eq!(lock_expired(&keys, "expired", lock), Some((0, id)));
        assert_eq!(
            lock_expired(&keys, "expired", "{orders:1}:lock:front:5-0"),
            Some((1, id))
        );
        assert_eq!(lock_expired(&keys, "del", lock), None);
        assert_eq!(lock_expired(&keys, "expired", "{orders:0}:input"), None);
        assert_eq!(lock_expired(&keys, "expired", "{orders:2}:lock:5-0"), None);
        assert_eq!(lock_expired(&keys, "expired", "{others:1}:lock:5-0"), None);
        assert_eq!(lock_expired(&keys, "expired", "{orders:0}:lock:x"), None);
    }

    #[test]
    fn missing_letters_are_added_and_none_is_removed() {
        assert_eq!(with_expired("").as_deref(), Some("Kx"));
        assert_eq!(with_expired("Ex").as_deref(), Some("ExK"));
        assert_eq!(with_expired("Kg").as_deref(), Some("Kgx"));
        assert_eq!(with_expired("AK"), None);
        assert_eq!(with_expired("xKE"), None);
    }

    proptest! {
        #[test]
        fn ensuring_twice_changes_nothing_more(flags in "[KEg$lshzxetdmnA]{0,16}") {
            if let Some(wanted) = with_expired(&flags) {
                prop_assert!(wanted.starts_with(&flags));
                prop_assert_eq!(with_expired(&wanted), None);
            }
        }
    }
}
