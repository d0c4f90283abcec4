//! What the facts about a server mean for a service, and what mends it. No I/O, no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::broker::event;
use crate::id::StreamId;
use crate::recovery::is_too_old;
use crate::store::{Answer, Facts, KeyFact, LaneFact, Need, Place, Refusal, Right, Role, ServiceFacts};

/// What [`Admin::doctor`](crate::Admin::doctor) found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The service.
    pub service: String,
    /// What the login was judged as.
    pub role: Role,
    /// The worst of all checks.
    pub verdict: Verdict,
    /// Every check, always in the same order.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// A word that stays the same from version to version.
    pub name: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What that means for the service.
    pub meaning: String,
    /// What mends it: a shell command wherever one does.
    pub mend: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Something is slower, unnoticed or lost in a case that may be accepted; or it could not be looked at.
    Warning,
    /// A guarantee doesn't hold, or nothing works.
    Failure,
}

impl Verdict {
    /// The verdict as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

impl Diagnosis {
    /// The check of that name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

/// A clock that is off by less is not worth a word: `NTP` over the internet keeps within tens of milliseconds.
const MOST_SKEW: Duration = Duration::from_millis(500);
/// How far the ids of a stream may be ahead of the server's clock, as after a step of that clock.
const MOST_AHEAD: Duration = Duration::from_secs(60);
/// Ids left before a stream takes no more.
const FEW_IDS: u64 = 1 << 32;

/// `min_idle` is the one that workers with the settings at hand would use.
pub(crate) fn judge(facts: &Facts, min_idle: Duration) -> Diagnosis {
    let place = &facts.place;
    let judge = Judge { facts, place };
    let mut checks = vec![judge.server_version(), judge.topology()];
    if let Some(service) = &facts.service {
        checks.push(judge.rights(service));
        checks.push(judge.optional_rights(service));
        checks.push(judge.scripts(service));
        checks.push(judge.writes(service));
    }
    checks.extend([
        judge.eviction(),
        judge.memory(),
        judge.persistence(),
        judge.notifications(),
        judge.idle_timeout(),
        judge.clock(),
    ]);
    if let Some(service) = &facts.service {
        checks.push(judge.keys(service));
        checks.push(judge.stream_ids(service));
        checks.push(judge.group(service));
        checks.push(judge.lock_ttl(service, min_idle));
    }
    Diagnosis {
        service: place.service.clone(),
        role: place.role,
        verdict: checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok),
        checks,
    }
}

struct Judge<'a> {
    facts: &'a Facts,
    place: &'a Place,
}

impl Judge<'_> {
    fn server_version(&self) -> Check {
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
            );
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

    fn topology(&self) -> Check {
        const NAME: &str = "topology";
        let cluster = |found: &str| {
            failure(
                NAME,
                found,
                "this version of streamherd works on a standalone Redis only, not on the nodes of a cluster",
            )
            .mend("use a Redis without cluster-enabled")
        };
        let refused = self
            .facts
            .service
            .as_ref()
            .and_then(|service| service.write.as_ref().ok());
        let refused = refused.map_or("", |text| text);
        if ["MOVED", "CLUSTERDOWN"].iter().any(|word| refused.starts_with(word)) {
            return cluster(refused);
        }
        let info = match &self.facts.info {
            Ok(info) => info,
            Err(_) if refused.starts_with("READONLY") => return self.replica(&BTreeMap::new()),
            Err(refusal) => return self.not_checked(NAME, refusal, "a standalone master is needed"),
        };
        let says = |name: &str| info.get(name).map_or("", |value| value);
        if says("redis_mode") == "sentinel" {
            return failure(
                NAME,
                "a Sentinel",
                "a Sentinel keeps no data; this version of streamherd connects to the master itself",
            )
            .mend(self.place.redis_cli(&["SENTINEL", "MASTERS"]));
        }
        if says("cluster_enabled") == "1" {
            return cluster("cluster-enabled yes");
        }
        if says("role") == "slave" {
            return self.replica(info);
        }
        let found = match says("connected_slaves") {
            "" | "0" => "a standalone master".to_owned(),
            "1" => "a standalone master with 1 replica".to_owned(),
            replicas => format!("a standalone master with {replicas} replicas"),
        };
        ok(NAME, found, "takes reads and writes")
    }

    fn replica(&self, info: &BTreeMap<String, String>) -> Check {
        let check = failure(
            "topology",
            "a replica",
            "nothing can be submitted, leased or finished here: a replica takes no writes, and sends no expiry events",
        );
        match (info.get("master_host"), info.get("master_port")) {
            (Some(host), Some(port)) => {
                let url = format!("redis://{host}:{port}");
                check.mend(shell(&[
                    "streamherd",
                    "--url",
                    &url,
                    "--service",
                    &self.place.service,
                    "doctor",
                ]))
            }
            _ => check.mend("connect to its master"),
        }
    }

    fn rights(&self, service: &ServiceFacts) -> Check {
        const NAME: &str = "rights";
        let lacking = lacking(service, Need::Required);
        let missing: Vec<&str> = missing(service, Need::Required);
        let keys_denied = service.keys.iter().any(|key| !key.allowed)
            || service.rights.iter().any(|(_, answer)| *answer == Answer::KeyDenied);
        let mut what: Vec<String> = lacking.iter().map(|right| right.command.to_owned()).collect();
        if keys_denied {
            what.insert(0, format!("the keys {}", self.place.key_rule));
        }
        let role = self.place.role;
        if what.is_empty() && missing.is_empty() {
            return ok(
                NAME,
                format!("user {} has all rights that a {role} can't do without", self.place.user),
                "every step of the protocol is allowed",
            );
        }
        let mut found = Vec::new();
        if !what.is_empty() {
            found.push(format!("user {} lacks {}", self.place.user, what.join(", ")));
        }
        if !missing.is_empty() {
            found.push(format!("the server has no {}", missing.join(", ")));
        }
        let mut smallest = vec!["ACL", "SETUSER", role.as_str(), "reset", "on", ">PASSWORD"];
        smallest.extend(self.place.smallest.iter().map(String::as_str));
        let check = failure(
            NAME,
            found.join("; "),
            format!(
                "it can't be a {role}. The smallest user that can: {}",
                self.place.redis_cli(&smallest)
            ),
        );
        if what.is_empty() {
            return check.mend("remove rename-command from redis.conf, or use a provider that allows it");
        }
        let mut rules: Vec<String> = lacking.iter().map(Right::rule).collect();
        if keys_denied {
            rules.insert(0, self.place.key_rule.clone());
        }
        check.mend(self.setuser(&rules))
    }

    fn optional_rights(&self, service: &ServiceFacts) -> Check {
        const NAME: &str = "optional_rights";
        let lacking = lacking(service, Need::Useful);
        let missing = missing(service, Need::Useful);
        if lacking.is_empty() && missing.is_empty() {
            let found = format!("user {} has them all", self.place.user);
            return ok(NAME, found, "nothing is slower than it could be");
        }
        let mut found = Vec::new();
        if !lacking.is_empty() {
            let what: Vec<&str> = lacking.iter().map(|right| right.command).collect();
            found.push(format!("user {} lacks {}", self.place.user, what.join(", ")));
        }
        if !missing.is_empty() {
            found.push(format!("the server has no {}", missing.join(", ")));
        }
        let loss = service
            .rights
            .iter()
            .filter(|(right, answer)| right.need == Need::Useful && matches!(answer, Answer::Denied | Answer::Missing));
        let loss: Vec<String> = loss
            .map(|(right, _)| format!("without {}, {}", right.command, right.without))
            .collect();
        let check = warning(NAME, found.join("; "), loss.join("; "));
        if lacking.is_empty() {
            return check;
        }
        let mut rules = Vec::new();
        for right in lacking {
            rules.push(right.rule());
            if right.command == "PSUBSCRIBE" {
                rules.push(self.place.channel_rule.clone());
            }
        }
        check.mend(self.setuser(&rules))
    }

    fn scripts(&self, service: &ServiceFacts) -> Check {
        const NAME: &str = "scripts";
        let refusal = match &service.script {
            Ok(()) => return ok(NAME, "EVAL runs", "every step of the protocol is one script"),
            // It submits without one.
            Err(_) if self.place.role == Role::Producer => {
                return ok(NAME, "not allowed to this user", "a producer needs none");
            }
            Err(refusal) => refusal,
        };
        let check = failure(
            NAME,
            format!("refused: {}", refusal.text),
            "nothing works: every step of the protocol is one script",
        );
        match &refusal.rule {
            Some(rule) => check.mend(self.setuser(&[rule.clone(), "+evalsha".to_owned()])),
            None => check.mend("use a server that runs scripts"),
        }
    }

    fn writes(&self, service: &ServiceFacts) -> Check {
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

    fn eviction(&self) -> Check {
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

    fn memory(&self) -> Check {
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

    fn persistence(&self) -> Check {
        const NAME: &str = "persistence";
        let aof = self
            .value("aof_enabled", "appendonly")
            .map(|value| value == "1" || value == "yes");
        let setting = |name| self.value("", name);
        let Some(aof) = aof else {
            return self.untold(NAME, "without persistence a restart of the server loses the queue");
        };
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

    fn notifications(&self) -> Check {
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

    fn idle_timeout(&self) -> Check {
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

    fn clock(&self) -> Check {
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

    fn keys(&self, service: &ServiceFacts) -> Check {
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

    fn stream_ids(&self, service: &ServiceFacts) -> Check {
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

    fn group(&self, service: &ServiceFacts) -> Check {
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
                format!("no group, {waiting} entries waiting, though workers were here"),
                "the group was deleted with all it knew of streams in work; the next worker that asks makes it again and \
                 reads all entries from the first",
            )
        } else if waiting > 0 {
            warning(
                NAME,
                format!("no group, {waiting} entries waiting"),
                "no worker has been here yet; the first one makes the group and reads all entries from the first",
            )
        } else {
            return ok(NAME, "none yet", "nothing was submitted, and no worker has been here");
        };
        let service = &self.place.service;
        check.mend(shell(&["streamherd", "--service", service, "worker", "--exec", "CMD"]))
    }

    fn lock_ttl(&self, service: &ServiceFacts, min_idle: Duration) -> Check {
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
                .mend(shell(&[
                    "streamherd",
                    "--service",
                    &self.place.service,
                    "worker",
                    "--min-idle",
                    &needed,
                    "--exec",
                    "CMD",
                ]))
            }
            _ => ok(NAME, "no worker has told one lately", "any will do"),
        }
    }

    /// A value that INFO tells, or else CONFIG.
    fn value(&self, info: &str, config: &str) -> Option<&str> {
        let told = self.facts.info.as_ref().ok().and_then(|values| values.get(info));
        told.or_else(|| self.facts.config.as_ref().ok().and_then(|values| values.get(config)))
            .map(String::as_str)
    }

    /// CONFIG did not tell.
    fn unknown(&self, name: &'static str, matters: &str) -> Check {
        match &self.facts.config {
            Err(refusal) => self.not_checked(name, refusal, matters),
            Ok(_) => warning(name, "the server does not tell", matters),
        }
    }

    /// Neither INFO, which is easier to be allowed, nor CONFIG told.
    fn untold(&self, name: &'static str, matters: &str) -> Check {
        match &self.facts.info {
            Err(refusal) => self.not_checked(name, refusal, matters),
            Ok(_) => self.unknown(name, matters),
        }
    }

    fn not_checked(&self, name: &'static str, refusal: &Refusal, matters: &str) -> Check {
        let check = warning(
            name,
            format!("not checked: {} is refused ({})", refusal.command, refusal.text),
            matters,
        );
        match &refusal.rule {
            Some(_) if refusal.text.contains("access") => {
                check.mend(self.setuser(std::slice::from_ref(&self.place.key_rule)))
            }
            Some(rule) => check.mend(self.setuser(std::slice::from_ref(rule))),
            None => check.mend("look at the provider's settings for this server"),
        }
    }

    fn more_memory(&self) -> String {
        let known = |name: &str| self.value(name, name).and_then(|value| value.parse::<u64>().ok());
        let basis = known("maxmemory").max(known("used_memory")).unwrap_or(0);
        let mb = (basis / 1_048_576 + 1) * 2;
        self.config_set("maxmemory", &format!("{mb}mb"))
    }

    fn config_set(&self, name: &str, value: &str) -> String {
        self.place.redis_cli(&["CONFIG", "SET", name, value])
    }

    fn setuser(&self, rules: &[String]) -> String {
        let mut words = vec!["ACL", "SETUSER", self.place.user.as_str()];
        words.extend(rules.iter().map(String::as_str));
        self.place.redis_cli(&words)
    }

    /// To a name that is free, also for the second of two accidents.
    fn put_aside(&self, key: &str) -> String {
        let second = self.facts.clock.as_ref().map_or(0, |clock| clock.server / 1_000_000);
        self.place
            .redis_cli(&["RENAMENX", key, &format!("{key}.aside-{second}")])
    }
}

impl Place {
    fn redis_cli(&self, words: &[&str]) -> String {
        let all: Vec<&str> = self
            .redis_cli
            .iter()
            .map(String::as_str)
            .chain(words.iter().copied())
            .collect();
        shell(&all)
    }
}

impl Check {
    fn mend(mut self, how: impl Into<String>) -> Self {
        self.mend = Some(how.into());
        self
    }
}

fn lacking(service: &ServiceFacts, need: Need) -> Vec<Right> {
    with_answer(service, need, &Answer::Denied).collect()
}

fn missing(service: &ServiceFacts, need: Need) -> Vec<&'static str> {
    with_answer(service, need, &Answer::Missing)
        .map(|right| right.command)
        .collect()
}

fn with_answer(service: &ServiceFacts, need: Need, wanted: &Answer) -> impl Iterator<Item = Right> {
    let rights = service.rights.iter();
    rights
        .filter(move |(right, answer)| right.need == need && answer == wanted)
        .map(|(right, _)| *right)
}

fn ok(name: &'static str, found: impl Into<String>, meaning: impl Into<String>) -> Check {
    check(name, Verdict::Ok, found, meaning)
}

fn warning(name: &'static str, found: impl Into<String>, meaning: impl Into<String>) -> Check {
    check(name, Verdict::Warning, found, meaning)
}

fn failure(name: &'static str, found: impl Into<String>, meaning: impl Into<String>) -> Check {
    check(name, Verdict::Failure, found, meaning)
}

fn check(name: &'static str, verdict: Verdict, found: impl Into<String>, meaning: impl Into<String>) -> Check {
    Check {
        name,
        verdict,
        found: found.into(),
        meaning: meaning.into(),
        mend: None,
    }
}

/// A span of time for people.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..=9 => format!("{:.1} s", span.as_secs_f64()),
        10..=599 => format!("{seconds} s"),
        600..=35_999 => format!("{} min", seconds / 60),
        36_000..=863_999 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A command line, quoted where a shell would read more than the word.
fn shell(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
    words.join(" ")
}

pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-_./:=,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
