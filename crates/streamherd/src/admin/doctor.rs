//! What the facts about a server mean for a service, and what mends it. No I/O, no clock.

mod login;
mod place;
mod server;
mod service;
#[cfg(test)]
mod tests;
mod together;
mod words;

use std::time::Duration;

use serde::Serialize;

use crate::store::{Asker, Facts, Found, FoundServer, Refusal, Role, StoreError};
use words::shell;
#[cfg(test)]
pub(crate) use words::shell_word;

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
    /// The addresses of the servers that hold a partition.
    pub servers: Vec<String>,
    /// Into how many partitions the service is divided.
    pub partitions: u16,
    /// Every check, always in the same order; several times where it found something else on other servers, or in other
    /// partitions.
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
    /// The servers of which it is true; empty for what is no matter of one server.
    pub servers: Vec<String>,
    /// The partitions of which it is true; empty for what is no matter of one partition.
    pub partitions: Vec<u16>,
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
    /// The check of that name; of several the worst, and of those the first.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        let named = self.checks.iter().filter(|check| check.name == name);
        named.rev().max_by_key(|check| check.verdict)
    }
}

/// `unsure` is why it isn't known how many partitions there are; `min_idle` the one that workers with the settings at hand
/// would use.
pub(crate) fn judge(found: &Found, unsure: Option<&StoreError>, min_idle: Duration) -> Diagnosis {
    let mut told = Vec::new();
    for server in &found.servers {
        match &server.facts {
            Ok(facts) => told.extend(of_server(server, facts, found.partitions, min_idle)),
            Err(e) => told.push(place::silent(found, server, e)),
        }
    }
    let answering: Vec<&Facts> = found
        .servers
        .iter()
        .filter_map(|server| server.facts.as_ref().ok())
        .collect();
    if let Some(facts) = answering.first() {
        told.extend(place::of_partitions(found, facts, unsure));
    }
    let checks = together::once(told);
    let place = answering.first().map(|facts| &facts.place);
    Diagnosis {
        service: place.map(|place| place.service.clone()).unwrap_or_default(),
        role: place.map(|place| place.role).unwrap_or_default(),
        verdict: checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok),
        servers: found.servers.iter().map(|server| server.address.clone()).collect(),
        partitions: found.partitions,
        checks,
    }
}

/// What is to be said of one server and of what it holds.
fn of_server(server: &FoundServer, facts: &Facts, partitions: u16, min_idle: Duration) -> Vec<Check> {
    let judge = Judge {
        facts,
        place: &facts.place,
        partitions,
    };
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
    for check in &mut checks {
        check.servers.push(server.address.clone());
    }
    for partition in facts.service.iter().flat_map(|service| &service.partitions) {
        let mut its = [
            judge.keys(partition),
            judge.stream_ids(partition),
            judge.group(partition),
            judge.lock_ttl(partition, min_idle),
        ];
        for check in &mut its {
            check.partitions.push(partition.number);
        }
        checks.extend(its);
    }
    checks
}

/// Nothing that a login could be given.
const ASK_PROVIDER: &str = "look at the provider's settings for this server";

struct Judge<'a> {
    facts: &'a Facts,
    place: &'a Asker,
    /// Of the whole service.
    partitions: u16,
}

impl Judge<'_> {
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
            Ok(_) => warning(name, "the server does not tell", matters).mend(ASK_PROVIDER),
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
            Some(_) if refusal.is_about_keys() => check.mend(self.setuser(&self.place.key_rules)),
            Some(rule)
                if self
                    .place
                    .role
                    .rights_on(self.place.mode)
                    .any(|right| right.rule() == *rule) =>
            {
                check.mend(self.setuser(std::slice::from_ref(rule)))
            }
            // The role can do without, and should not be given more for a doctor's sake.
            Some(_) => check.mend(format!(
                "with an operator's login: {}",
                shell(&[
                    "streamherd",
                    "--service",
                    &self.place.service,
                    "doctor",
                    "--role",
                    "operator"
                ])
            )),
            None => check.mend(ASK_PROVIDER),
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
        let ms = self.facts.clock.as_ref().map_or(0, |clock| clock.server / 1_000);
        self.place.redis_cli(&["RENAMENX", key, &format!("{key}.aside-{ms}")])
    }
}

impl Asker {
    fn redis_cli(&self, words: &[&str]) -> String {
        let all: Vec<&str> = self
            .redis_cli
            .iter()
            .map(String::as_str)
            .chain(words.iter().copied())
            .collect();
        shell(&all)
    }

    /// `redis-cli --cluster fix host:port`.
    fn cluster_manager(&self, what: &str) -> String {
        shell(&["redis-cli", "--cluster", what, &self.address])
    }
}

impl Check {
    fn mend(mut self, how: impl Into<String>) -> Self {
        self.mend = Some(how.into());
        self
    }
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
        servers: Vec::new(),
        partitions: Vec::new(),
        found: found.into(),
        meaning: meaning.into(),
        mend: None,
    }
}
