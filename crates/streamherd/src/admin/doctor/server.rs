//! The server: its version, its place, its settings, its state.

use std::time::Duration;

use super::words::span;
use super::{ASK_PROVIDER, Check, Judge, failure, ok, warning};
use crate::broker::event;
use crate::recovery::is_too_old;
use crate::store::{Refusal, ServiceFacts};

/// A clock that is off by less is not worth a word: `NTP` over the internet keeps within tens of milliseconds.
const MOST_SKEW: Duration = Duration::from_millis(500);

impl Judge<'_> {
    pub(super) fn server_version(&self) -> Check {
        const NAME: &str = "server_version";
        let info = match &self.facts.info {
            Ok(info) => info,
            Err(refusal) => return self.not_checked(NAME, refusal, "Redis 6.2 or Valkey 7.2 is needed, or newer"),
        };
        let Some(redis) = info.get("redis_version") else {
            return warning(
                NAME,
                "INFO names no version",
                "Redis 6.2 or Valkey 7.2 is needed, or newer",
            )
            .mend(ASK_PROVIDER);
        };
        let found = match info.get("valkey_version") {
            Some(valkey) => format!("Valkey {valkey}"),
            None => format!("Redis {redis}"),
        };
        if is_too_old(redis) {
            return failure(
                NAME,
                found,
                "workers refuse to start: it lacks what the recovery of orphans needs",
            )
            .mend("install Redis 6.2 or Valkey 7.2, or newer");
        }
        ok(NAME, found, "new enough")
    }

    pub(super) fn writes(&self, service: &ServiceFacts) -> Check {
        const NAME: &str = "writes";
        let text = match &service.write {
            Ok(text) => text.as_str(),
            Err(refusal) => return self.writes_unasked(refusal),
        };
        let check = |meaning: &str| failure(NAME, format!("refused: {text}"), meaning);
        match text.split_whitespace().next() {
            Some("OOM") => check("nothing can be submitted, handed out or recovered until there is memory again")
                .mend(self.more_memory()),
            Some("MISCONF") if text.contains("AOF") => {
                check("the server can't write its append-only file, and takes no writes until it can")
                    .mend("make room on the server's disk")
            }
            Some("MISCONF") => check(
                "the last snapshot failed, and the server takes no writes until one succeeds; make room on its disk and \
                 look at its log first",
            )
            .mend(self.place.redis_cli(&["BGSAVE"])),
            Some("NOREPLICAS") => check(
                "fewer replicas are connected than min-replicas-to-write asks for; better than the command is to bring \
                 them back",
            )
            .mend(self.place.redis_cli(&["CONFIG", "SET", "min-replicas-to-write", "0"])),
            Some("READONLY") => check("a replica takes no writes").mend("connect to its master"),
            Some("LOADING" | "MASTERDOWN" | "MOVED" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY") => {
                check("the server can't take writes now").mend("look at the server, and ask again")
            }
            _ => ok(NAME, "accepted", "the server takes writes now"),
        }
    }

    /// Who may not write can only look at the server's own account.
    fn writes_unasked(&self, refusal: &Refusal) -> Check {
        const NAME: &str = "writes";
        let Ok(info) = &self.facts.info else {
            return self.not_checked(NAME, refusal, "nobody knows whether the server takes writes now");
        };
        let bad = ["rdb_last_bgsave_status", "aof_last_write_status"];
        let bad = bad
            .into_iter()
            .find(|name| info.get(*name).is_some_and(|status| status == "err"));
        match bad {
            Some(name) => warning(
                NAME,
                format!("{name}: err"),
                "the server may refuse writes; make room on its disk, and look at its log",
            )
            .mend(self.place.redis_cli(&["BGSAVE"])),
            None => ok(NAME, "INFO shows nothing against them", "this user may not try"),
        }
    }

    pub(super) fn eviction(&self) -> Check {
        const NAME: &str = "eviction";
        let Some(policy) = self.value("maxmemory_policy", "maxmemory-policy") else {
            return self.untold(NAME, "an eviction policy other than noeviction breaks the guarantees");
        };
        let found = format!("maxmemory-policy {policy}");
        if policy == "noeviction" {
            return ok(NAME, found, "a full server refuses writes, and forgets nothing");
        }
        let meaning = if policy.starts_with("volatile") {
            "locks have a time to live, so they go first when memory is full: a live worker's stream is then given to \
             another one"
        } else {
            "when memory is full, queued streams, dead letters and locks are deleted"
        };
        failure(NAME, found, format!("{meaning}. Keep the setting in redis.conf too"))
            .mend(self.config_set("maxmemory-policy", "noeviction"))
    }

    pub(super) fn memory(&self) -> Check {
        const NAME: &str = "memory";
        let number = |info: &str, config: &str| self.value(info, config).and_then(|value| value.parse::<u64>().ok());
        let (used, most) = (number("used_memory", ""), number("maxmemory", "maxmemory"));
        let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1_048_576.0);
        match (used, most) {
            (_, None) => self.untold(NAME, "a server whose memory is full refuses new streams"),
            (_, Some(0)) => ok(NAME, "no maxmemory", "Redis takes what the machine has"),
            (None, Some(_)) => self.untold(NAME, "a server whose memory is full refuses new streams"),
            (Some(used), Some(most)) => {
                let found = format!("{} of {} used", mb(used), mb(most));
                if used >= most {
                    failure(
                        NAME,
                        found,
                        "maxmemory is reached: submits are refused, and orphans are not re-queued",
                    )
                    .mend(self.more_memory())
                } else if used / 9 >= most / 10 {
                    warning(NAME, found, "maxmemory is near: beyond it, submits are refused").mend(self.more_memory())
                } else {
                    ok(NAME, found, "there is room")
                }
            }
        }
    }

    pub(super) fn persistence(&self) -> Check {
        const NAME: &str = "persistence";
        let aof = self
            .value("aof_enabled", "appendonly")
            .map(|value| value == "1" || value == "yes");
        let setting = |name| self.value("", name);
        let Some(aof) = aof else {
            return self.untold(NAME, "without persistence a restart of the server loses the queue");
        };
        let failed = |name: &str| self.value(name, "").is_some_and(|status| status == "err");
        if failed("rdb_last_bgsave_status") && setting("save") != Some("") {
            return warning(
                NAME,
                "the last snapshot failed",
                "a restart of the server may lose all that was written since the last good one; make room on its disk and \
                 look at its log first",
            )
            .mend(self.place.redis_cli(&["BGSAVE"]));
        }
        if aof && failed("aof_last_bgrewrite_status") {
            return warning(
                NAME,
                "the append-only file could not be rewritten",
                "it grows until the disk is full; make room there and look at the server's log first",
            )
            .mend(self.place.redis_cli(&["BGREWRITEAOF"]));
        }
        if aof {
            return match setting("appendfsync") {
                Some("no") => warning(
                    NAME,
                    "appendonly yes, appendfsync no",
                    "a crash of the machine loses what its system had not written yet",
                )
                .mend(self.config_set("appendfsync", "everysec")),
                Some(fsync) => ok(
                    NAME,
                    format!("appendonly yes, appendfsync {fsync}"),
                    "a restart keeps the queue",
                ),
                None => ok(NAME, "appendonly yes", "a restart keeps the queue"),
            };
        }
        let (found, meaning) = match setting("save") {
            Some("") => (
                "appendonly no, no save points".to_owned(),
                "a restart of the server loses the queue and all that was handed out",
            ),
            Some(save) => (
                format!("appendonly no, save {save}"),
                "a crash of the server loses what was written since its last snapshot",
            ),
            None => (
                "appendonly no".to_owned(),
                "a restart of the server loses at least what was written since its last snapshot",
            ),
        };
        warning(NAME, found, format!("{meaning}. Keep the setting in redis.conf too"))
            .mend(self.config_set("appendonly", "yes"))
    }

    pub(super) fn notifications(&self) -> Check {
        const NAME: &str = "notifications";
        const SLOWER: &str = "orphans are found by the scan alone, which is correct and a little slower";
        let Some(flags) = self.value("", "notify-keyspace-events") else {
            return self.unknown(NAME, &format!("without the letters K and x {SLOWER}"));
        };
        let found = format!("notify-keyspace-events {flags:?}");
        match event::with_expired(flags) {
            None => ok(NAME, found, "workers hear of expired locks"),
            Some(wanted) => {
                let lacks = match (flags.contains('K'), flags.contains('x') || flags.contains('A')) {
                    (false, false) => "K (channels by key) and x (expired) are missing",
                    (false, true) => "K (channels by key) is missing; E gives other channels",
                    _ => "x (expired) is missing",
                };
                warning(
                    NAME,
                    found,
                    format!("{lacks}: {SLOWER}. Workers that may use CONFIG SET add them at their start"),
                )
                .mend(self.config_set("notify-keyspace-events", &wanted))
            }
        }
    }

    pub(super) fn idle_timeout(&self) -> Check {
        const NAME: &str = "idle_timeout";
        match self.value("", "timeout") {
            None => self.unknown(NAME, "a timeout above 0 ends the connections of idle producers"),
            Some("0") => ok(NAME, "timeout 0", "the server ends no idle connection"),
            Some(seconds) => warning(
                NAME,
                format!("timeout {seconds}"),
                format!(
                    "the server ends the connections of producers that submit nothing for {seconds} s, and the next \
                     submit may fail"
                ),
            )
            .mend(self.config_set("timeout", "0")),
        }
    }

    pub(super) fn clock(&self) -> Check {
        const NAME: &str = "clock";
        let clock = match &self.facts.clock {
            Ok(clock) => clock,
            Err(refusal) => return self.not_checked(NAME, refusal, "times are judged by the server's clock"),
        };
        // What the clocks differ by at least; the rest may be the way to the server and back.
        let (behind, ahead) = (
            Duration::from_micros(clock.before.saturating_sub(clock.server)),
            Duration::from_micros(clock.server.saturating_sub(clock.after)),
        );
        let (skew, word) = if behind > ahead {
            (behind, "behind")
        } else {
            (ahead, "ahead of")
        };
        if skew <= MOST_SKEW {
            return ok(
                NAME,
                "the server's clock and this machine's agree",
                "times mean the same on both",
            );
        }
        warning(
            NAME,
            format!("the server's clock is {} {word} this machine's", span(skew)),
            "ages and points in time are judged by the server's clock, and so look wrong from here; leases don't mind",
        )
        .mend("timedatectl set-ntp true")
    }
}
