//! redsync's mutex over one server, as the library sets it up: the value is the consumer's name, so a restarted worker of that
//! name has the same one.

use std::time::Duration;

use streamherd_testkit::{RawClient, Reply};

use super::{Entry, GO_TTL, Shared};

/// redsync's default.
const TRIES: usize = 32;
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// Takes an entry's lock; whether it did. Each failure is followed by a release, which frees a lock of this consumer's own.
pub(super) fn lock(shared: &Shared, entry: &Entry) -> bool {
    let key = entry.lock();
    let seconds = GO_TTL.as_secs().to_string();
    for tried in 0..TRIES {
        if tried > 0 {
            std::thread::sleep(RETRY_DELAY);
        }
        let locked = shared.with(|redis| {
            let set = redis.call(&["SET", &key, &shared.consumer, "EX", &seconds, "NX"]);
            let locked = !set.is_nil();
            if !locked {
                unlock(redis, &shared.consumer, entry);
            }
            locked
        });
        match locked {
            Some(false) => {}
            Some(true) => return true,
            None => return false,
        }
    }
    false
}

/// Extends an entry's lock, or sets it where there is none; whether it did.
pub(super) fn extend(redis: &mut RawClient, consumer: &str, entry: &Entry) -> bool {
    let script = "local holder = redis.call('GET', KEYS[1])
        if holder == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
        if holder then return 0 end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX')
        return 1";
    let millis = GO_TTL.as_millis().to_string();
    let extended = redis.call(&["EVAL", script, "1", &entry.lock(), consumer, &millis]);
    extended == Reply::Int(1)
}

/// Frees an entry's lock, unless it is another's or gone.
pub(super) fn unlock(redis: &mut RawClient, consumer: &str, entry: &Entry) {
    let script = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
        return 0";
    redis.call(&["EVAL", script, "1", &entry.lock(), consumer]).ok();
}
