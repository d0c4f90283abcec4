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
