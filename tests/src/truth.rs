//! What Redis itself says.

use std::collections::BTreeSet;
use std::ops::Range;

use streamherd_testkit::{RawClient, Reply, eventually};

use crate::{Redis, SERVICE, SOON, redis};

/// The names of a partition's keys, in the order in which its scripts take them.
pub const KEYS: [&str; 10] = [
    "epoch",
    "control",
    "input",
    "front",
    "dlq",
    "delayed",
    "delayed:body",
    "live",
    "consumers",
    "scan",
];

/// What Redis itself says of the service, over connections of its own.
#[derive(Debug)]
pub struct Truth {
    masters: Vec<RawClient>,
    service: String,
    /// Partitions, and which of the masters holds each.
    partitions: Vec<(u16, usize)>,
}

/// One record of a pending entries list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The entry's id.
    pub id: String,
    /// Who was given it.
    pub consumer: String,
}

impl Truth {
    /// Looks at all partitions.
    #[must_use]
    pub fn of(redis: &Redis) -> Self {
        Self::looking(redis, SERVICE, 0..redis.address().partitions)
    }

    /// Looks at the partition of a stream, and at no other.
    #[must_use]
    pub fn at(redis: &Redis, stream: &str) -> Self {
        Self::of_service(redis, SERVICE, stream)
    }

    /// Looks at the partition of a stream of another service.
    #[must_use]
    pub fn of_service(redis: &Redis, service: &str, stream: &str) -> Self {
        let partition = redis.partition_of(stream);
        Self::looking(redis, service, partition..partition + 1)
    }

    fn looking(redis: &Redis, service: &str, partitions: Range<u16>) -> Self {
        let homes: Vec<(u16, usize)> = partitions.map(|number| (number, redis.home(service, number))).collect();
        let mut servers: Vec<usize> = homes.iter().map(|(_, home)| *home).collect();
        servers.sort_unstable();
        servers.dedup();
        let place = |home| servers.binary_search(&home).expect("each home is a server");
        Self {
            masters: servers.iter().map(|server| redis.connect(*server)).collect(),
            service: service.to_owned(),
            partitions: homes
                .iter()
                .map(|(partition, home)| (*partition, place(*home)))
                .collect(),
        }
    }

    /// The name of a key in the first partition that is looked at.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        redis::key(&self.service, self.partitions[0].0, name)
    }

    /// Any command, split at white space. `T:` at the beginning of a word stands for the service's key prefix: such a command
    /// is run in each partition that is looked at, any other on each of their masters, and the answers are added up.
    pub fn cmd(&mut self, line: &str) -> Reply {
        self.call(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Any command, word by word.
    pub fn call<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Reply {
        total(self.answers(words))
    }

    /// The answers to a command as they are.
    pub fn each(&mut self, line: &str) -> Vec<Reply> {
        self.answers(&line.split_whitespace().collect::<Vec<_>>())
    }

    fn answers<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Vec<Reply> {
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        if !words.iter().any(|word| word.starts_with(b"T:")) {
            return self.masters.iter_mut().map(|master| master.call(&words)).collect();
        }
        let several = self.partitions.len() > 1;
        assert!(
            !several || !words[0].eq_ignore_ascii_case(b"XADD"),
            "an entry goes to one partition"
        );
        let partitions = self.partitions.iter().map(|(partition, master)| {
            let prefix = redis::key(&self.service, *partition, "");
            let words: Vec<Vec<u8>> = words
                .iter()
                .map(|word| match word.strip_prefix(b"T:") {
                    Some(key) => [prefix.as_bytes(), key].concat(),
                    None => word.to_vec(),
                })
                .collect();
            self.masters[*master].call(&words)
        });
        partitions.collect()
    }

    /// The pending entries of `input` or `front`.
    pub fn pending(&mut self, lane: &str) -> Vec<Pending> {
        let reply = self.cmd(&format!("XPENDING T:{lane} workers - + 100000"));
        if reply.is_error() {
            return Vec::new();
        }
        reply
            .array()
            .iter()
            .map(|record| Pending {
                id: record.array()[0].text(),
                consumer: record.array()[1].text(),
            })
            .collect()
    }

    /// Entries pending in either lane.
    pub fn pending_count(&mut self) -> usize {
        self.pending("input").len() + self.pending("front").len()
    }

    /// Entries in either lane, pending or not.
    pub fn length(&mut self) -> i64 {
        self.cmd("XLEN T:input").int() + self.cmd("XLEN T:front").int()
    }

    /// Dead letters, as field maps.
    pub fn dead_letters(&mut self) -> Vec<Vec<(String, String)>> {
        self.entries("dlq").into_iter().map(|(_, fields)| fields).collect()
    }

    /// The entries of a stream: ids and fields.
    pub fn entries(&mut self, stream: &str) -> Vec<(String, Vec<(String, String)>)> {
        self.cmd(&format!("XRANGE T:{stream} - +"))
            .array()
            .iter()
            .map(|entry| (entry.array()[0].text(), entry.array()[1].pairs()))
            .collect()
    }

    /// The names of the locks that live.
    pub fn locks(&mut self) -> Vec<String> {
        self.cmd("KEYS T:lock:*").strings()
    }

    /// Whether nothing of any work is left: no entry, no pending record, no lock, no delayed entry, no name.
    pub fn is_clean(&mut self) -> bool {
        let kept = ["ZCARD T:delayed", "HLEN T:delayed:body", "HLEN T:live"];
        self.length() == 0
            && self.pending_count() == 0
            && self.locks().is_empty()
            && kept.iter().all(|count| self.cmd(count).int() == 0)
    }

    /// Waits until nothing of any work is left.
    pub async fn becomes_clean(&mut self) {
        let clean = eventually(SOON, "queue, pending entries and locks are gone", || {
            let clean = self.is_clean();
            async move { clean.then_some(()) }
        });
        clean.await;
    }

    /// Makes the groups, as a first worker would; so a worker that comes later finds entries pending already.
    pub fn make_groups(&mut self) {
        for lane in ["input", "front"] {
            self.cmd(&format!("XGROUP CREATE T:{lane} workers 0 MKSTREAM")).ok();
        }
    }

    /// Gives the next new entry to a consumer that is long dead and left no lock. Returns its id.
    pub fn abandon(&mut self) -> String {
        assert_eq!(self.partitions.len(), 1, "the next one of one partition");
        let read = self.cmd("XREADGROUP GROUP workers ghost COUNT 1 STREAMS T:input >");
        let id = read.array()[0].array()[1].array()[0].array()[0].text();
        self.cmd(&format!("XCLAIM T:input workers ghost 0 {id} IDLE 3600000"))
            .ok();
        id
    }

    /// The connections of clients, as `CLIENT LIST` has them: neither those of tests nor those that servers have to each
    /// other.
    pub fn clients(&mut self) -> Vec<String> {
        let list = self.cmd("CLIENT LIST").text();
        let own = |line: &&str| {
            [" name=test ", " name=sentinel-", " flags=S "]
                .iter()
                .any(|mark| line.contains(mark))
        };
        list.lines().filter(|line| !own(line)).map(str::to_owned).collect()
    }

    /// How many names there are in the groups, each counted once.
    pub fn consumers(&mut self) -> usize {
        let all = self.cmd("XINFO CONSUMERS T:input workers").array();
        let names: BTreeSet<String> = all.iter().map(|one| one.array()[1].text()).collect();
        names.len()
    }

    /// Breaks what clients hear expiries over. Says how many there were.
    pub fn kill_subscriptions(&mut self) -> usize {
        let subscribed = self.clients().into_iter().filter(|client| client.contains(" flags=P "));
        let ids = subscribed.map(|client| client.split(['=', ' ']).nth(1).expect("an id").to_owned());
        ids.map(|id| self.cmd(&format!("CLIENT KILL ID {id}"))).count()
    }

    /// Whether clients wait for new entries.
    pub fn is_read(&mut self) -> bool {
        self.clients().iter().any(|client| client.contains("cmd=xreadgroup"))
    }

    /// How often Redis ran this command since it was asked to count anew.
    pub fn calls(&mut self, command: &str) -> u64 {
        let stats = self.cmd("INFO commandstats").text();
        let line = format!("cmdstat_{command}:calls=");
        let calls = stats.lines().filter_map(|found| found.strip_prefix(&line));
        calls
            .map(|rest| {
                rest.split(',')
                    .next()
                    .and_then(|n| n.parse::<u64>().ok())
                    .expect("a number")
            })
            .sum()
    }

    /// Has a lock expire soon. With 1 ms a busy server may find it in the past already and delete it, which is no
    /// expiry.
    pub fn expire(&mut self, id: &str) {
        assert_eq!(self.cmd(&format!("PEXPIRE T:lock:{id} 100")).int(), 1);
    }
}

/// Several answers as one: counts are summed up, lists and texts joined, and nothing counts where others say something.
fn total(answers: Vec<Reply>) -> Reply {
    let weight = |reply: &Reply| match reply {
        Reply::Error(_) => 0,
        Reply::Nil => 1,
        _ => 2,
    };
    let most = answers.iter().map(weight).max().expect("at least one answer");
    let mut said = answers.into_iter().filter(|reply| weight(reply) == most);
    let first = said.next().expect("at least one answer");
    said.fold(first, |all, one| match (all, one) {
        (Reply::Int(all), Reply::Int(one)) => Reply::Int(all + one),
        (Reply::Array(all), Reply::Array(one)) => Reply::Array([all, one].concat()),
        (Reply::Bulk(all), Reply::Bulk(one)) => Reply::Bulk([all, one].concat()),
        (all, _) => all,
    })
}

/// The value of a field.
#[must_use]
pub fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map_or_else(|| panic!("no field {name} in {fields:?}"), |(_, value)| value)
}
