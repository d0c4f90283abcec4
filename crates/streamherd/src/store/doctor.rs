//! What a doctor can find out about a server and a login. A refusal is a fact like any other.

mod examine;
mod facts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fred::types::Value;

pub(crate) use examine::examine;
use facts::Seen;
#[cfg(test)]
pub(crate) use facts::Unserved;
pub(crate) use facts::{
    Answer, Asker, Clock, ClusterState, Facts, Found, FoundServer, KeyFact, LaneFact, PartitionFacts, Refusal,
    ServiceFacts,
};

use super::reply::Reply;
use super::rights::{Need, Role};
use super::{Connection, Endpoint, Store, StoreError, Subscription};
use crate::id::StreamId;

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
    /// The rules of a login for this role.
    pub(crate) fn acl_rules(&self, endpoint: &Endpoint, role: Role) -> Vec<String> {
        let which = |need| need != Need::Spare;
        role.rules(&self.keys, endpoint.database(), endpoint.mode(), which)
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
        let has_group = match self.ask("XPENDING", words(&[key, self.keys.group()])).await? {
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

    async fn cluster_state(&self) -> Result<Seen<ClusterState>, StoreError> {
        Ok(self.ask("CLUSTER", words(&["INFO"])).await?.map(|value| {
            let text = Reply::new("doctor", &value).text().unwrap_or_default();
            let said = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name));
            ClusterState {
                ok: said("cluster_state:") == Some("ok"),
                masters: said("cluster_size:").and_then(|size| size.parse().ok()).unwrap_or(0),
            }
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

fn refusal(name: &str, subcommand: Option<String>, e: StoreError) -> Result<Refusal, StoreError> {
    if e.is_disconnected() || e.is_timeout() {
        return Err(e);
    }
    let command = match subcommand {
        Some(subcommand) if matches!(name, "CONFIG" | "XINFO" | "XGROUP" | "CLIENT" | "SCRIPT" | "CLUSTER") => {
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
