//! The partitions: their keys and what they hold.

use std::time::Duration;

use super::words::{shell, span};
use super::{Check, Judge, failure, ok, warning};
use crate::id::StreamId;
use crate::store::{KeyFact, LaneFact, PartitionFacts};

/// How far the ids of a stream may be ahead of the server's clock, as after a step of that clock.
const MOST_AHEAD: Duration = Duration::from_secs(60);
/// Ids left before a stream takes no more.
const FEW_IDS: u64 = 1 << 32;

impl Judge<'_> {
    pub(super) fn keys(&self, service: &PartitionFacts) -> Check {
        const NAME: &str = "keys";
        let mut wrong: Vec<(&KeyFact, &str)> = Vec::new();
        for key in &service.keys {
            match &key.found {
                Ok(found) if found != "none" && found != key.expected => wrong.push((key, found)),
                Ok(_) => {}
                Err(refusal) => {
                    return self.not_checked(NAME, refusal, "a key of another type keeps workers from starting");
                }
            }
        }
        if wrong.is_empty() {
            return ok(NAME, "each is absent or of its type", "no other program uses them");
        }
        let found = wrong
            .iter()
            .map(|(key, found)| format!("{} is a {found}, not a {}", key.key, key.expected));
        let found: Vec<String> = found.collect();
        let mend = wrong.iter().map(|(key, _)| self.put_aside(&key.key));
        let mend: Vec<String> = mend.collect();
        failure(
            NAME,
            found.join("; "),
            "another program uses these keys, and no worker starts; use another name for the service, or put them aside",
        )
        .mend(mend.join(" && "))
    }

    pub(super) fn stream_ids(&self, service: &PartitionFacts) -> Check {
        const NAME: &str = "stream_ids";
        let server = self
            .facts
            .clock
            .as_ref()
            .ok()
            .map(|clock| Duration::from_micros(clock.server));
        let mut ahead: Option<(Duration, &str, StreamId)> = None;
        for key in &service.keys {
            let last = match &key.last_id {
                Ok(Some(last)) => last,
                Ok(None) => continue,
                Err(refusal) => {
                    return self.not_checked(NAME, refusal, "a stream that has used up its ids takes no more entries");
                }
            };
            if last.ms == u64::MAX && last.seq > u64::MAX - FEW_IDS {
                return failure(
                    NAME,
                    format!("the last id of {} is {last}", key.key),
                    "hardly any id is left, and without one nothing can be added; an entry was added under an id of its \
                     producer's choice. Stop the workers, put the stream aside, and submit again what it holds",
                )
                .mend(self.put_aside(&key.key));
            }
            let by = server.map(|server| Duration::from_millis(last.ms).saturating_sub(server));
            if by > Some(MOST_AHEAD) && by > ahead.map(|(by, ..)| by) {
                ahead = by.map(|by| (by, key.key.as_str(), *last));
            }
        }
        match ahead {
            None => ok(NAME, "none is ahead of the clock", "every stream has ids left"),
            Some((by, key, last)) => warning(
                NAME,
                format!("the last id of {key} is {last}, {} ahead of the server's clock", span(by)),
                "ids are no times there: ages look wrong, and new ids count on from the last one. The server's clock went \
                 back, or an entry was added under an id of its producer's choice. Stop the workers, put the stream \
                 aside, and submit again what it holds",
            )
            .mend(self.put_aside(key)),
        }
    }

    pub(super) fn group(&self, service: &PartitionFacts) -> Check {
        const NAME: &str = "group";
        let mut without: Vec<(&LaneFact, u64)> = Vec::new();
        for lane in &service.lanes {
            match (&lane.length, &lane.has_group) {
                (Ok(length), Ok(false)) => without.push((lane, *length)),
                (Ok(_), Ok(true)) => {}
                // A key of another type is told elsewhere.
                (Err(refusal), _) | (_, Err(refusal)) if refusal.rule.is_none() => {}
                (Err(refusal), _) | (_, Err(refusal)) => {
                    return self.not_checked(NAME, refusal, "without its group the queue is not read");
                }
            }
        }
        let epoch = service.keys.iter().find(|key| key.key.ends_with(":epoch"));
        let has_epoch = epoch
            .and_then(|key| key.found.as_ref().ok())
            .is_some_and(|found| found != "none");
        let waiting: u64 = without.iter().map(|(_, length)| length).sum();
        let check = if without.is_empty() {
            if has_epoch || epoch.is_none_or(|key| key.found.is_err()) {
                return ok(NAME, "both lanes have theirs", "the queue is read");
            }
            warning(
                NAME,
                "the lanes have their groups, but the epoch is gone",
                "somebody deleted it; the next worker that asks makes a new one, and reports a data loss",
            )
        } else if has_epoch {
            warning(
                NAME,
                format!("no group, {}, though workers were here", self.waiting(waiting)),
                "the group was deleted with all it knew of streams in work; the next worker that asks makes it again and \
                 reads all entries from the first",
            )
        } else if waiting > 0 {
            warning(
                NAME,
                format!("no group, {}", self.waiting(waiting)),
                "no worker has been here yet; the first one makes the group and reads all entries from the first",
            )
        } else {
            return ok(NAME, "none yet", "nothing was submitted, and no worker has been here");
        };
        check.mend(self.worker(&[]))
    }

    /// The command that starts a worker of this service.
    fn worker(&self, more: &[&str]) -> String {
        let partitions = self.partitions.to_string();
        let mut words = vec!["streamherd", "--service", &self.place.service];
        if self.partitions > 1 {
            words.extend(["--partitions", &partitions]);
        }
        words.push("worker");
        words.extend(more);
        words.extend(["--exec", "CMD"]);
        shell(&words)
    }

    /// Of several partitions each has its own number, which would be told of each alone.
    fn waiting(&self, entries: u64) -> String {
        match (entries, self.partitions) {
            (0, _) | (_, 1) => format!("{entries} entries waiting"),
            _ => "but entries waiting".to_owned(),
        }
    }

    pub(super) fn lock_ttl(&self, service: &PartitionFacts, min_idle: Duration) -> Check {
        const NAME: &str = "lock_ttl";
        let stored = match &service.lock_ttl {
            Ok(stored) => stored,
            Err(refusal) if refusal.rule.is_none() => &None,
            Err(refusal) => {
                return self.not_checked(NAME, refusal, "workers must wait for the fleet's largest lock_ttl");
            }
        };
        // Without the server's time it counts as current.
        let now = self.facts.clock.as_ref().map_or(0, |clock| clock.server / 1_000);
        match stored {
            Some((ttl, until)) if *until >= now => {
                let ttl = Duration::from_millis(*ttl);
                let found = format!("the fleet's largest is {}", span(ttl));
                if ttl <= min_idle {
                    return ok(NAME, found, "workers with these settings may join");
                }
                let needed = format!("{}ms", (ttl + Duration::from_millis(500)).as_millis());
                warning(
                    NAME,
                    found,
                    format!(
                        "a worker that re-queues after {}, as with these settings, is refused: it would take streams from \
                         owners that live",
                        span(min_idle)
                    ),
                )
                .mend(self.worker(&["--min-idle", &needed]))
            }
            _ => ok(NAME, "no worker has told one lately", "any will do"),
        }
    }
}
