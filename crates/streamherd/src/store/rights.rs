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
    required(W | P,     "HSTRLEN", "$nothing f"),
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
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::keys::Service;

    /// Scripts that others than workers run.
    const SCRIPTS: [(&str, Role); 12] = [
        ("delayed", Role::Operator),
        ("find", Role::Operator),
        ("kept", Role::Producer),
        ("kick", Role::Operator),
        ("leases", Role::Operator),
        ("letters", Role::Operator),
        ("migrate", Role::Operator),
        ("purge", Role::Operator),
        ("redrive", Role::Operator),
        ("resubmit", Role::Producer),
        ("status", Role::Operator),
        ("submit", Role::Producer),
    ];

    /// Commands with subcommands, which the ACL names together.
    const CONTAINERS: [&str; 9] = [
        "XGROUP", "XINFO", "SCRIPT", "CONFIG", "CLIENT", "ACL", "FUNCTION", "CLUSTER", "OBJECT",
    ];

    fn files(dir: &str, extension: &str) -> Vec<(PathBuf, String)> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store").join(dir);
        let mut files = Vec::new();
        for file in fs::read_dir(dir).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == extension) {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
        assert!(!files.is_empty());
        files
    }

    /// The string literals of a piece of code, in order.
    fn literals(code: &str, quote: char) -> impl Iterator<Item = &str> {
        code.split(quote).skip(1).step_by(2)
    }

    /// The command of a call whose arguments begin here, with its subcommand where the ACL has one.
    fn command(arguments: &str, quote: char) -> Option<String> {
        let mut words = literals(arguments, quote).skip_while(|word| !is_command(word));
        let name = words.next()?;
        Some(match words.next() {
            Some(subcommand) if CONTAINERS.contains(&name) => format!("{name}|{subcommand}"),
            _ => name.to_owned(),
        })
    }

    fn is_command(word: &str) -> bool {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase())
    }

    fn of(role: Role) -> BTreeSet<&'static str> {
        let newer = NEWER.iter().filter(|right| right.roles & role.bit() != 0).copied();
        role.rights_on(ClusterMode::Oss)
            .chain(newer)
            .map(|right| right.command)
            .collect()
    }

    /// The commands of the scripts: who sends it, the script, the command.
    fn of_scripts() -> Vec<(Role, String, String)> {
        let mut found = Vec::new();
        for (path, text) in files("lua", "lua") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let role = SCRIPTS.iter().find(|(script, _)| *script == name);
            let role = role.map_or(Role::Worker, |(_, role)| *role);
            let calls = text.split("redis.call(").skip(1);
            for call in calls.chain(text.split("redis.pcall(").skip(1)) {
                // A command that a script computes would be a right that nobody can see.
                let command = command(call.split(')').next().unwrap(), '\'')
                    .unwrap_or_else(|| panic!("{name}.lua: which command is `redis.call({call:.40}`?"));
                found.push((role, name.to_owned(), command));
            }
        }
        found
    }

    /// The commands that the library sends itself, some without their subcommands, and the file that does.
    fn of_the_library() -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        let rooms = ["", "doctor", "network"];
        for (path, text) in rooms.into_iter().flat_map(|room| files(room, "rs")) {
            let file = path.file_name().unwrap().to_str().unwrap();
            if file == "rights.rs" {
                continue;
            }
            for call in [".command(", ".ask("]
                .into_iter()
                .flat_map(|sent| text.split(sent).skip(1))
            {
                let arguments = call.split(".await").next().unwrap();
                let command = command(arguments, '"');
                // The sentinels have logins of their own.
                let command = command.filter(|command| command != "SENTINEL");
                found.extend(command.map(|command| (command, file.to_owned())));
            }
            for call in ["xadd", "xreadgroup", "psubscribe", "ASKING"] {
                if text.contains(&format!(".{call}")) || text.contains(&format!("command(\"{call}\")")) {
                    found.insert((call.to_uppercase(), file.to_owned()));
                }
            }
        }
        found
    }

    #[test]
    fn every_command_of_a_script_is_in_the_table() {
        for (role, script, command) in of_scripts() {
            assert!(
                of(role).contains(command.as_str()),
                "{script}.lua uses {command}; add a row to the table of store/rights.rs for the {role}"
            );
        }
    }

    #[test]
    fn every_command_that_the_library_sends_is_in_the_table() {
        let all: BTreeSet<&str> = Role::ALL.into_iter().flat_map(of).collect();
        for (command, file) in of_the_library() {
            assert!(
                all.iter().any(|right| is(right, &command)),
                "{file} sends {command}; add a row to the table of store/rights.rs"
            );
        }
    }

    #[test]
    fn every_right_in_the_table_is_used() {
        // The client library asks for it at each connect.
        let mut used: BTreeSet<String> = BTreeSet::from(["CLIENT|ID".to_owned()]);
        used.extend(of_scripts().into_iter().map(|(.., command)| command));
        used.extend(of_the_library().into_iter().map(|(command, _)| command));
        for right in TABLE.iter().chain(CLUSTER).chain(NEWER) {
            assert!(
                used.iter().any(|command| is(right.command, command)),
                "nobody sends {}; take it out of the table of store/rights.rs",
                right.command
            );
        }
    }

    /// Whether a right is that of a command, whose subcommand may not be known.
    fn is(right: &str, command: &str) -> bool {
        right == command || right.split('|').next() == Some(command)
    }

    #[test]
    fn no_role_has_a_right_twice() {
        for role in Role::ALL {
            let newer = NEWER.iter().filter(|right| right.roles & role.bit() != 0).count();
            assert_eq!(
                of(role).len(),
                role.rights_on(ClusterMode::Oss).count() + newer,
                "{role}"
            );
        }
        for right in TABLE.iter().chain(CLUSTER).chain(NEWER) {
            assert_eq!(right.need == Need::Required, right.without.is_empty(), "{right:?}");
        }
    }

    /// With STREAMHERD_BLESS=1 in the environment it writes the documentation instead.
    #[test]
    fn the_documentation_has_the_logins_of_the_table() {
        const BEGIN: &str = "<!-- from store/rights.rs -->\n";
        const END: &str = "<!-- end -->";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/OPERATIONS.md");
        let docs = fs::read_to_string(&path).unwrap();
        let (before, rest) = docs.split_once(BEGIN).unwrap();
        let (found, after) = rest.split_once(END).unwrap();
        let wanted = documentation();
        if std::env::var_os("STREAMHERD_BLESS").is_some() {
            fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        } else {
            assert_eq!(
                found, wanted,
                "docs/OPERATIONS.md is stale; run this test with STREAMHERD_BLESS=1"
            );
        }
    }

    fn documentation() -> String {
        let keys = Keys::new(&Service::parse("orders").unwrap(), 0);
        let mut text = String::new();
        let mut nodes = String::new();
        let mut newer = String::new();
        let mut commands = String::new();
        let mut rows = String::new();
        for (role, who) in [
            (Role::Worker, "A worker, which takes streams and works on them:"),
            (Role::Producer, "A producer, which only submits:"),
            (Role::Operator, "An operator, who looks at the queue and steps in:"),
        ] {
            let smallest = role.rules(&keys, 0, ClusterMode::Standalone, |need| need == Need::Required);
            let smallest = setuser(&format!("{role} reset on '>PASSWORD'"), &smallest);
            text += &format!("{who}\n\n```sh\n{smallest}\n```\n\n");
            let useful: Vec<Right> = role.rights().filter(|right| right.need == Need::Useful).collect();
            let channel = useful.iter().any(Right::is_subscription);
            let mut more: Vec<String> = channel.then(|| channel_rule(&keys, 0)).into_iter().collect();
            more.extend(useful.iter().map(Right::rule));
            commands += &format!("{}\n", setuser(role.as_str(), &more));
            let everywhere: Vec<&str> = role.rights().map(|right| right.command).collect();
            let on_nodes = role.rights_on(ClusterMode::Oss);
            let on_nodes: Vec<Right> = on_nodes.filter(|right| !everywhere.contains(&right.command)).collect();
            let rules: Vec<String> = on_nodes.iter().map(Right::rule).collect();
            nodes += &format!("{}\n", setuser(role.as_str(), &rules));
            let on_nodes = on_nodes.into_iter().filter(|right| right.need == Need::Useful);
            let known: Vec<Right> = NEWER
                .iter()
                .filter(|right| right.roles & role.bit() != 0)
                .copied()
                .collect();
            if !known.is_empty() {
                let rules: Vec<String> = known.iter().map(Right::rule).collect();
                newer += &format!("{}\n", setuser(role.as_str(), &rules));
            }
            for right in useful.into_iter().chain(on_nodes).chain(known) {
                rows += &format!(
                    "| {role} | `{}` | {} |\n",
                    right.command.replace('|', " "),
                    right.without
                );
            }
        }
        text + &format!(
            "What is useful beyond that, and what is lost without it:\n\n```sh\n{commands}```\n\n\
             In a cluster also, of which only `CLUSTER NODES` is required:\n\n```sh\n{nodes}```\n\n\
             On Redis 7.2 or Valkey 7.2 and newer also:\n\n```sh\n{newer}```\n\n\
             | login | command | without it |\n|---|---|---|\n{rows}"
        )
    }

    fn setuser(user: &str, rules: &[String]) -> String {
        let rules: Vec<String> = rules.iter().map(|rule| crate::admin::shell_word(rule)).collect();
        format!("redis-cli ACL SETUSER {user} {}", rules.join(" "))
    }
}
