//! What Redis itself says.

use streamherd_testkit::{RawClient, Server, eventually};

use crate::{SERVICE, SOON};

/// What Redis itself says of the service, over a connection of its own.
#[derive(Debug)]
pub struct Truth {
    redis: RawClient,
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
    /// Looks at a server.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        Self { redis: server.client() }
    }

    /// The name of one of the service's keys.
    #[must_use]
    pub fn key(name: &str) -> String {
        format!("{{{SERVICE}:0}}:{name}")
    }

    /// Any command, split at white space; `T:` stands for the service's key prefix.
    pub fn cmd(&mut self, line: &str) -> streamherd_testkit::Reply {
        self.redis.cmd(&line.replace("T:", &Self::key("")))
    }

    /// Any command, word by word.
    pub fn call(&mut self, words: &[&str]) -> streamherd_testkit::Reply {
        self.redis.call(words)
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
        self.cmd("KEYS {orders:0}:lock:*").strings()
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
        let read = self.cmd("XREADGROUP GROUP workers ghost COUNT 1 STREAMS T:input >");
        let id = read.array()[0].array()[1].array()[0].array()[0].text();
        self.cmd(&format!("XCLAIM T:input workers ghost 0 {id} IDLE 3600000"))
            .ok();
        id
    }

    /// How many connections the server has besides this one.
    pub fn others_connected(&mut self) -> usize {
        self.cmd("CLIENT LIST").text().lines().count() - 1
    }

    /// Has a lock expire soon. With 1 ms a busy server may find it in the past already and delete it, which is no
    /// expiry.
    pub fn expire(&mut self, id: &str) {
        assert_eq!(self.cmd(&format!("PEXPIRE T:lock:{id} 100")).int(), 1);
    }
}

/// The value of a field.
#[must_use]
pub fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map_or_else(|| panic!("no field {name} in {fields:?}"), |(_, value)| value)
}
