//! What a login must be allowed to do: one table, from which `doctor`, the ACL lines that it prints and the tests are made.

use serde::Serialize;

use crate::config::ClusterMode;
use crate::keys::Keys;

/// What a login is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Takes streams and works on them.
    #[default]
    Worker,
    /// Only submits.
    Producer,
    /// Looks at the queue and steps in: `status`, `doctor`, `requeue`, `pause`, dead letters.
    Operator,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Worker, Self::Producer, Self::Operator];

    /// The role as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Producer => "producer",
            Self::Operator => "operator",
        }
    }

    /// The commands that this role sends, in its scripts too, wherever the service is.
    pub fn rights(self) -> impl Iterator<Item = Right> {
        TABLE.iter().filter(move |right| right.roles & self.bit() != 0).copied()
    }

    /// The commands that this role sends to servers that belong together in this way: in a cluster those that find out
    /// where the partitions are, too.
    pub fn rights_on(self, mode: ClusterMode) -> impl Iterator<Item = Right> {
        let more: &[Right] = if mode == ClusterMode::Oss { CLUSTER } else { &[] };
        let more = more.iter().filter(move |right| right.roles & self.bit() != 0).copied();
        self.rights().chain(more)
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Worker => W,
            Self::Producer => P,
            Self::Operator => O,
        }
    }

    /// The rules of the smallest login for this role: `resetkeys ~… resetchannels &… -@all +…`.
    pub(crate) fn rules(
        self,
        keys: &Keys,
        database: u8,
        mode: ClusterMode,
        which: impl Fn(Need) -> bool,
    ) -> Vec<String> {
        let rights: Vec<Right> = self.rights_on(mode).filter(|right| which(right.need)).collect();
        let mut rules = vec!["resetkeys".to_owned()];
        rules.extend(key_rules(keys));
        rules.push("resetchannels".to_owned());
        if rights.iter().any(Right::is_subscription) {
            rules.push(channel_rule(keys, database));
        }
        rules.push("-@all".to_owned());
        rules.extend(rights.iter().map(Right::rule));
        rules
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The keys of a service: every script is given all of them, whoever runs it.
pub(crate) fn key_rules(keys: &Keys) -> Vec<String> {
    keys.patterns()
        .into_iter()
        .map(|pattern| format!("~{pattern}"))
        .collect()
}

/// The channel of the expired locks. A subscription to a pattern needs this very pattern: a wider one doesn't allow it.
pub(crate) fn channel_rule(keys: &Keys, database: u8) -> String {
    format!("&{}", keys.lock_channel_pattern(database))
}

/// How much depends on a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Need {
    /// Nothing works, or nothing is guaranteed, without it.
    Required,
    /// Something is slower or unnoticed without it.
    Useful,
    /// It spares the operator something; without it nothing is worse.
    Spare,
}

/// A command that a login uses.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Right {
    /// As Redis's ACL has it, in capitals: `XADD`, `XGROUP|CREATE`.
    pub command: &'static str,
    /// How much depends on it.
    pub need: Need,
    /// What is lost without it; empty for what is required.
    pub without: &'static str,
    roles: u8,
    probe: &'static str,
}

impl Right {
    /// The ACL rule that gives it: `+xgroup|create`.
    #[must_use]
    pub fn rule(&self) -> String {
        format!("+{}", self.command.to_lowercase())
    }

    /// Whether it can only be tried on a connection of its own.
    pub(super) fn is_subscription(&self) -> bool {
        self.probe == SUBSCRIBE
    }

    /// A command and its arguments that find out whether it is allowed, and change nothing.
    pub(super) fn probe(&self, keys: &Keys, nothing: &str) -> (&'static str, Vec<String>) {
        let (name, subcommand) = match self.command.split_once('|') {
            Some((name, subcommand)) => (name, Some(subcommand)),
            None => (self.command, None),
        };
        let words = subcommand.into_iter().chain(self.probe.split_whitespace());
        let args = words.map(|word| match word {
            "$input" => keys.input.clone(),
            "$nothing" => nothing.to_owned(),
            "$group" => keys.group().to_owned(),
            word => word.to_owned(),
        });
        (name, args.collect())
    }
}

const W: u8 = 1;
const P: u8 = 2;
const O: u8 = 4;

const SUBSCRIBE: &str = "(a connection of its own)";

/// Every command that the scripts and the library send, who sends it, and how to find out that it is allowed: Redis looks
/// at the rights after the number of arguments and before everything else, so a call that can't succeed, or one on a
/// key that doesn't exist (`$nothing`), tells. A probe must change nothing, whatever the data are.
/// A command that can't but succeed (HSETNX, INCR) has no such probe; a script that needs one does with two others.
#[rustfmt::skip]
static TABLE: &[Right] = &[
    required(W | P | O, "EVALSHA", "0000000000000000000000000000000000000000 0"),
    required(W | P | O, "EVAL", "return(1) 0"),
    required(W | P | O, "XADD", "$input NOMKSTREAM 0-0 f v"),
    required(W,         "XREADGROUP", "GROUP $group nobody STREAMS $nothing >"),
    required(W | P | O, "XPENDING", "$nothing $group"),
    required(W | P | O, "XRANGE", "$nothing - +"),
    required(O,         "XREVRANGE", "$nothing + -"),
    required(W | O,     "XACK", "$nothing $group 0-0"),
    required(W | O,     "XDEL", "$nothing 0-0"),
    required(W,         "XCLAIM", "$nothing $group nobody 0 0-0"),
    required(W | O,     "XLEN", "$nothing"),
    required(W,         "XGROUP|CREATE", "$nothing $group 0"),
    required(W,         "XGROUP|DELCONSUMER", "$nothing $group nobody"),
    required(W | O,     "XINFO|CONSUMERS", "$nothing $group"),
    required(W | O,     "XINFO|GROUPS", "$nothing"),
    required(W | O,     "GET", "$nothing"),
    required(W,         "MGET", "$nothing"),
    required(W,         "SET", "$nothing v XX"),
    required(W | O,     "DEL", "$nothing"),
    required(W,         "PEXPIRE", "$nothing 1"),
    required(W | O,     "PTTL", "$nothing"),
    required(W | P | O, "HGET", "$nothing f"),
    required(W | P | O, "HMGET", "$nothing f"),
    required(W | P | O, "HSTRLEN", "$nothing f"),
    required(W | P | O, "HSET", "$nothing f v f"),
    required(W | P | O, "HDEL", "$nothing f"),
    required(W | O,     "HKEYS", "$nothing"),
    required(W,         "HLEN", "$nothing"),
    required(W,         "HSCAN", "$nothing 0"),
    required(W | P | O, "ZADD", "$nothing XX 0 m"),
    required(W | P | O, "ZREM", "$nothing m"),
    required(W | P | O, "ZSCORE", "$nothing m"),
    required(O,         "ZRANGE", "$nothing 0 0"),
    required(W | O,     "ZRANGEBYSCORE", "$nothing 0 0"),
    required(O,         "ZREVRANGE", "$nothing 0 0"),
    required(O,         "ZCARD", "$nothing"),
    required(W | O,     "TYPE", "$nothing"),
    required(W | P | O, "TIME", ""),
    required(W,         "PING", ""),
    useful(W | P | O,   "SCRIPT|LOAD", "return(1)", "the first call of each script carries its text"),
    useful(W,           "CONFIG|GET", "notify-keyspace-events", "wrong settings of the server are not noticed"),
    useful(W,           "CLIENT|UNBLOCK", "0", "a shutdown waits up to two seconds for a blocked read"),
    useful(W,           "PSUBSCRIBE", SUBSCRIBE, "orphans are found by the scan alone, a little later"),
    useful(W | P | O,   "CLIENT|ID", "", "each connection leaves a line in the server's ACL LOG, and a blocked read can't be ended"),
    useful(W,           "INFO", "server", "a server that is too old is not noticed; and after a failover that lost writes two workers may hold one stream for up to a `lock_ttl`, as nobody notices that the server is another one"),
    useful(P,           "GET", "$nothing", "`Producer::retain` is refused"),
    useful(P,           "SET", "$nothing v XX", "`Producer::retain` is refused"),
    useful(P,           "WAIT", "0 1", "submits can't be made durable at replicas"),
    useful(P,           "INFO", "server", "a server that is too old is not noticed; nor is a failover that lost what a retaining producer submitted, unless a worker notices it first"),
    useful(O,           "INFO", "server", "a server that is too old is not noticed"),
    useful(O,           "SET", "$nothing v XX", "a worker that `requeue --force` has relieved of a stream may queue it again after a failover"),
    useful(W,           "ZCARD", "$nothing", "how much waits is not in the metrics"),
    useful(O,           "CONFIG|GET", "notify-keyspace-events", "doctor can't check the server's settings"),
    useful(O,           "XINFO|STREAM", "$nothing", "doctor can't check the ids of the queue"),
    spare(W,            "CONFIG|SET", "streamherd-no-such-parameter 0", "an operator sets notify-keyspace-events"),
];

/// What is sent to the nodes of a cluster only.
#[rustfmt::skip]
static CLUSTER: &[Right] = &[
    required(W | P | O, "CLUSTER|NODES", ""),
    useful(W,           "ASKING", "", "leases are lost in a slot migration that lasts longer than a `lock_ttl`"),
    useful(O,           "CLUSTER|INFO", "", "doctor can't check the state of the cluster"),
];

/// What only newer servers know, so that no login of an older one can be given it: no probe asks for it.
#[cfg(test)]
#[rustfmt::skip]
static NEWER: &[Right] = &[
    useful(P,           "WAITAOF", "0 0 1", "submits can't be made durable on disks"),
];

const fn required(roles: u8, command: &'static str, probe: &'static str) -> Right {
    right(roles, command, probe, Need::Required, "")
}

const fn useful(roles: u8, command: &'static str, probe: &'static str, without: &'static str) -> Right {
    right(roles, command, probe, Need::Useful, without)
}

const fn spare(roles: u8, command: &'static str, probe: &'static str, without: &'static str) -> Right {
    right(roles, command, probe, Need::Spare, without)
}

const fn right(roles: u8, command: &'static str, probe: &'static str, need: Need, without: &'static str) -> Right {
    Right {
        command,
        need,
        without,
        roles,
        probe,
    }
}

#[cfg(test)]
mod tests;
