//! What a doctor can find out about a server and a login. A refusal is a fact like any other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fred::types::Value;

use super::hello::NO_ENTRY;
use super::reply::Reply;
use super::rights::{Need, Right, Role, channel_rule, key_rule};
use super::{Connection, Endpoint, Store, StoreError, Subscription};
use crate::id::StreamId;
use crate::keys::GROUP;

/// What was seen, or why not.
pub(crate) type Seen<T> = Result<T, Refusal>;

/// What the server said instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The ACL rule that would allow it; [`None`] if the login isn't the reason.
    pub(crate) rule: Option<String>,
    pub(crate) command: String,
    pub(crate) text: String,
}

/// All that was found out.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) place: Asker,
    pub(crate) info: Seen<BTreeMap<String, String>>,
    pub(crate) config: Seen<BTreeMap<String, String>>,
    pub(crate) clock: Seen<Clock>,
    /// [`None`] where the server can't keep a service at all, so that there was nothing to ask it.
    pub(crate) service: Option<ServiceFacts>,
}

/// Where the server is and who asked, for the commands that mend.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) redis_cli: Vec<String>,
    pub(crate) user: String,
    pub(crate) service: String,
    pub(crate) role: Role,
    pub(crate) key_rule: String,
    pub(crate) channel_rule: String,
    /// The smallest login for the role.
    pub(crate) smallest: Vec<String>,
}

/// The server's time, and the local time before it was asked and after it had answered, all in Unix microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) before: u64,
    pub(crate) server: u64,
    pub(crate) after: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct ServiceFacts {
    pub(crate) rights: Vec<(Right, Answer)>,
    pub(crate) script: Seen<()>,
    /// What the server says to a write that it would refuse for another reason if it took writes at all.
    pub(crate) write: Seen<String>,
    pub(crate) keys: Vec<KeyFact>,
    /// Input and front.
    pub(crate) lanes: Vec<LaneFact>,
    /// The fleet's largest `lock_ttl` and until when that holds, in Unix milliseconds.
    pub(crate) lock_ttl: Seen<Option<(u64, u64)>>,
}

/// What came of trying a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Allowed,
    Denied,
    /// The command is allowed, the key isn't.
    KeyDenied,
    /// The server doesn't know it, whoever asks: renamed, or blocked by the provider.
    Missing,
}

#[derive(Debug, Clone)]
pub(crate) struct KeyFact {
    pub(crate) key: String,
    pub(crate) expected: &'static str,
    /// `none` where there is nothing.
    pub(crate) found: Seen<String>,
    /// Whether the login may read and write it, as far as its role has to.
    pub(crate) allowed: bool,
    /// The last id that was given out, of a stream that is there.
    pub(crate) last_id: Seen<Option<StreamId>>,
}

#[derive(Debug, Clone)]
pub(crate) struct LaneFact {
    pub(crate) length: Seen<u64>,
    pub(crate) has_group: Seen<bool>,
}

/// The types of the keys, in their order.
const TYPES: [&str; 10] = [
    "string", "hash", "stream", "stream", "stream", "zset", "hash", "hash", "hash", "string",
];

/// What `doctor` wants to know of the server's settings.
const SETTINGS: [&str; 7] = [
    "maxmemory",
    "maxmemory-policy",
    "notify-keyspace-events",
    "appendonly",
    "appendfsync",
    "save",
    "timeout",
];

impl Store {
    /// Looks at everything, and changes nothing but the server's own counters.
    ///
    /// # Errors
    /// Redis did not answer.
    pub(crate) async fn examine(&self, endpoint: &Endpoint, service: &str, role: Role) -> Result<Facts, StoreError> {
        let keys = &self.keys;
        let database = endpoint.database();
        let info = self.info().await?;
        let elsewhere = info.as_ref().is_ok_and(|info| {
            let says = |name: &str, value: &str| info.get(name).is_some_and(|found| found == value);
            says("cluster_enabled", "1") || says("redis_mode", "sentinel") || says("server_mode", "sentinel")
        });
        Ok(Facts {
            place: Asker {
                redis_cli: endpoint.redis_cli(),
                user: endpoint.user().to_owned(),
                service: service.to_owned(),
                role,
                key_rule: key_rule(keys),
                channel_rule: channel_rule(keys, database),
                smallest: role.rules(keys, database, |need| need == Need::Required),
            },
            info,
            config: self.settings().await?,
            clock: self.clock().await?,
            // A cluster's node answers with redirections, and drops the connection while the cluster is down.
            service: if elsewhere {
                None
            } else {
                Some(self.service_facts(endpoint, role).await?)
            },
        })
    }

    /// The rules of a login for this role.
    pub(crate) fn acl_rules(&self, endpoint: &Endpoint, role: Role) -> Vec<String> {
        role.rules(&self.keys, endpoint.database(), |need| need != Need::Spare)
    }

    async fn service_facts(&self, endpoint: &Endpoint, role: Role) -> Result<ServiceFacts, StoreError> {
        let nothing = self.keys.lock(&NO_ENTRY);
        let mut rights = Vec::new();
        for right in role.rights() {
            let answer = if right.is_subscription() {
                self.may_subscribe(endpoint).await?
            } else {
                let (name, args) = right.probe(&self.keys, &nothing);
                answer(self.ask(name, args).await?.map(drop))
            };
            rights.push((right, answer));
        }
        let script = self.ask("EVAL", words(&["return(1)", "0"])).await?.map(drop);
        let write = self.write_to(&self.keys.input).await?;
        Ok(ServiceFacts {
            rights,
            script,
            write,
            keys: self.key_facts(role).await?,
            lanes: vec![
                self.lane_fact(&self.keys.input).await?,
                self.lane_fact(&self.keys.front).await?,
            ],
            lock_ttl: self.lock_ttl().await?,
        })
    }

    async fn key_facts(&self, role: Role) -> Result<Vec<KeyFact>, StoreError> {
        let mut facts = Vec::new();
        for (key, expected) in self.keys.all().into_iter().zip(TYPES) {
            let found = self.ask("TYPE", words(&[key])).await?;
            let found = found.map(|value| Reply::new("doctor", &value).text().unwrap_or_default().to_owned());
            let mut allowed = !matches!(&found, Err(refusal) if refusal.is_about_keys());
            if role != Role::Operator {
                allowed &= !matches!(self.write_to(key).await?, Err(refusal) if refusal.is_about_keys());
            }
            let last_id = if expected == "stream" {
                self.last_id(key).await?
            } else {
                Ok(None)
            };
            facts.push(KeyFact {
                key: key.to_owned(),
                expected,
                found,
                allowed,
                last_id,
            });
        }
        Ok(facts)
    }

    /// Adds an entry with the one id that no stream takes. Whatever the key is, that is found out before it is looked at,
    /// and everything that makes a server refuse writes is found out before that.
    async fn write_to(&self, key: &str) -> Result<Seen<String>, StoreError> {
        let args = words(&[key, "NOMKSTREAM", "0-0", "f", "v"]);
        Ok(match self.ask("XADD", args).await? {
            Err(refusal) if refusal.rule.is_none() => Ok(refusal.text),
            other => other.map(|_| String::new()),
        })
    }

    async fn last_id(&self, key: &str) -> Result<Seen<Option<StreamId>>, StoreError> {
        Ok(match self.ask("XINFO", words(&["STREAM", key])).await? {
            Ok(value) => Ok(pair(&value, "last-generated-id").and_then(|id| id.parse().ok())),
            // No such key, or one of another type, which is told elsewhere.
            Err(refusal) if refusal.rule.is_none() => Ok(None),
            Err(refusal) => Err(refusal),
        })
    }

    async fn lane_fact(&self, key: &str) -> Result<LaneFact, StoreError> {
        let length = self.ask("XLEN", words(&[key])).await?;
        let has_group = match self.ask("XPENDING", words(&[key, GROUP])).await? {
            Err(refusal) if refusal.text.starts_with("NOGROUP") => Ok(false),
            other => other.map(|_| true),
        };
        Ok(LaneFact {
            length: length.map(|value| Reply::new("doctor", &value).number().unwrap_or(0)),
            has_group,
        })
    }

    async fn lock_ttl(&self) -> Result<Seen<Option<(u64, u64)>>, StoreError> {
        let [_, control, ..] = self.keys.all();
        let args = words(&[control, "lock_ttl", "lock_ttl_until"]);
        Ok(self.ask("HMGET", args).await?.map(|value| {
            let reply = Reply::new("doctor", &value);
            let number = |index| reply.at(index).and_then(Reply::number).ok();
            number(0).zip(number(1))
        }))
    }

    async fn info(&self) -> Result<Seen<BTreeMap<String, String>>, StoreError> {
        Ok(self.ask("INFO", vec![]).await?.map(|value| {
            let text = Reply::new("doctor", &value).text().unwrap_or_default();
            let pairs = text.lines().filter_map(|line| line.trim().split_once(':'));
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        }))
    }

    async fn settings(&self) -> Result<Seen<BTreeMap<String, String>>, StoreError> {
        let mut settings = BTreeMap::new();
        for name in SETTINGS {
            match self.ask("CONFIG", words(&["GET", name])).await? {
                // A provider may hide some of them.
                Ok(value) => {
                    settings.extend(pair(&value, name).map(|value| (name.to_owned(), value)));
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        Ok(Ok(settings))
    }

    async fn clock(&self) -> Result<Seen<Clock>, StoreError> {
        let before = now();
        let time = self.ask("TIME", vec![]).await?;
        let after = now();
        Ok(time.map(|value| {
            let reply = Reply::new("doctor", &value);
            let part = |index| reply.at(index).and_then(Reply::number).unwrap_or(0);
            Clock {
                before,
                server: part(0).saturating_mul(1_000_000).saturating_add(part(1)),
                after,
            }
        }))
    }

    /// A refused subscription shifts the replies of whatever shares its connection.
    async fn may_subscribe(&self, endpoint: &Endpoint) -> Result<Answer, StoreError> {
        let connection: Connection = endpoint.open().await?;
        let keys = Arc::clone(&self.keys);
        let subscription = Subscription::new(connection.clone(), vec![keys], endpoint.database(), self.timeout);
        let confirmed = subscription.confirm().await;
        drop(subscription);
        connection.close(std::time::Duration::ZERO).await;
        Ok(match confirmed {
            Ok(true) => Answer::Allowed,
            Ok(false) => Answer::Denied,
            // Without PING nobody can tell, and it is missed elsewhere.
            Err(e) if e.is_denied() && e.says("'ping'") => Answer::Allowed,
            // The command or the channel; the mending rules are for both.
            Err(e) if e.is_denied() => Answer::Denied,
            Err(e) => answer(Err(refusal("PSUBSCRIBE", None, e)?)),
        })
    }

    /// Sends a command. What the server refuses is a fact; that it doesn't answer is an error.
    async fn ask(&self, name: &'static str, args: Vec<String>) -> Result<Seen<Value>, StoreError> {
        let subcommand = args.first().cloned();
        let args = args.into_iter().map(Value::from).collect();
        match self.line.command("doctor", name, args, self.timeout).await {
            Ok(value) => Ok(Ok(value)),
            Err(e) => Ok(Err(refusal(name, subcommand, e)?)),
        }
    }
}

impl Refusal {
    /// Redis looks at the command first, and names it; then at the keys, and doesn't.
    pub(crate) fn is_about_keys(&self) -> bool {
        self.rule.is_some() && self.text.contains("access")
    }
}

fn refusal(name: &str, subcommand: Option<String>, e: StoreError) -> Result<Refusal, StoreError> {
    if e.is_disconnected() || e.is_timeout() {
        return Err(e);
    }
    let command = match subcommand {
        Some(subcommand) if matches!(name, "CONFIG" | "XINFO" | "XGROUP" | "CLIENT" | "SCRIPT") => {
            format!("{name}|{subcommand}")
        }
        _ => name.to_owned(),
    };
    Ok(Refusal {
        rule: e.is_denied().then(|| format!("+{}", command.to_lowercase())),
        command,
        text: e.server_text().trim().to_owned(),
    })
}

fn answer(tried: Result<(), Refusal>) -> Answer {
    match tried {
        Err(refusal) if refusal.is_about_keys() => Answer::KeyDenied,
        Err(refusal) if refusal.rule.is_some() => Answer::Denied,
        Err(refusal) if refusal.text.to_lowercase().contains("unknown command") => Answer::Missing,
        _ => Answer::Allowed,
    }
}

/// The value that follows a name in a flat list.
fn pair(value: &Value, name: &str) -> Option<String> {
    let mut items = Reply::new("doctor", value).list().ok()?;
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        if key.text().is_ok_and(|key| key == name) {
            return value.text().ok().map(str::to_owned);
        }
    }
    None
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The wall clock, which is what the server's has to agree with.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
