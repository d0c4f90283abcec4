//! Does each step on the scripts and in the model, and compares the two.

use streamherd_testkit::{RawClient, Reply};
use streamherd_tests::{KEYS, Redis};

use super::Step;
use crate::contract::coalescing::model::{End, Model, Ms, Place, Run, Wish};
use crate::contract::coalescing::{key, look, parse, wire};

pub(super) const SERVICE: &str = "orders";
pub(super) const EPOCH: &str = "e";
pub(super) const WORKER: &str = "w.aaaaaaaa";
pub(super) const SECOND: Ms = 1_000;
/// When each sequence begins, in seconds.
const START: Ms = 1_000_000;

macro_rules! lua {
    ($name:literal) => {
        include_str!(concat!("../../../../crates/streamherd/src/store/lua/", $name, ".lua"))
    };
}

/// An id, fields and values, and a token, of one lane each.
type Taken = Vec<(String, Vec<String>, f64)>;

pub(super) struct Lease {
    run: Run,
    pub(super) id: String,
    pub(super) value: String,
    /// Of a name that takes part in coalescing, or pretends to.
    pub(super) name: Option<char>,
}

pub(super) struct Driver {
    pub(super) redis: RawClient,
    digests: Vec<(&'static str, String)>,
    model: Model,
    pub(super) leases: Vec<Lease>,
    seconds: Ms,
    batch: u64,
}

impl Driver {
    pub(super) fn new(server: &Redis) -> Self {
        let mut redis = server.client_for(&key(SERVICE, "input"));
        let clock = "local t = redis.call('TIME')";
        let own = format!("local t = {{redis.call('GET', '{}'), 0}}", key(SERVICE, "clock"));
        assert!(lua!("keys").contains(clock));
        let shared = [
            lua!("keys").replace(clock, &own).as_str(),
            lua!("lib"),
            lua!("go"),
            lua!("live"),
        ]
        .concat();
        let mut digests = Vec::new();
        for (name, text) in [
            ("submit", lua!("submit")),
            ("read", lua!("read")),
            ("acquire", lua!("acquire")),
            ("settle", lua!("settle")),
            ("requeue", lua!("requeue")),
            ("promote", lua!("promote")),
            ("sweep", lua!("sweep")),
            ("sweep_live", lua!("sweep_live")),
        ] {
            // What is packed on the wire is JSON here.
            let plain = text
                .replace("cmsgpack.unpack(ARGV", "cjson.decode(ARGV")
                .replace("cmsgpack.pack(result)}", "cjson.encode(result)}");
            let body = format!("{shared}{plain}");
            digests.push((name, redis.call(&["SCRIPT", "LOAD", &body]).ok().text()));
        }
        Self {
            redis,
            digests,
            model: Model::default(),
            leases: Vec::new(),
            seconds: START,
            batch: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        let fresh = "redis.call('FLUSHDB') for _, lane in ipairs({'input', 'front'}) do
            redis.call('XGROUP', 'CREATE', ARGV[1] .. lane, 'workers', 0, 'MKSTREAM') end
            redis.call('SET', ARGV[1] .. 'epoch', ARGV[2])";
        self.redis.call(&["EVAL", fresh, "0", &key(SERVICE, ""), EPOCH]).ok();
        self.leases.clear();
        self.batch = 0;
        self.set_clock(START);
        self.model = Model::at(START * SECOND);
    }

    fn set_clock(&mut self, seconds: Ms) {
        self.seconds = seconds;
        self.redis
            .call(&["SET", &key(SERVICE, "clock"), &seconds.to_string()])
            .ok();
        self.model.now = seconds * SECOND;
    }

    pub(super) fn run(&mut self, script: &str, locks: &[String], args: &[&str]) -> Vec<Reply> {
        let digest = &self.digests.iter().find(|(name, _)| *name == script).expect("loaded").1;
        let mut words = vec![
            "EVALSHA".to_owned(),
            digest.clone(),
            (KEYS.len() + 1 + locks.len()).to_string(),
        ];
        words.extend(KEYS.map(|name| key(SERVICE, name)));
        words.push(key(SERVICE, "lock:0-0"));
        words.extend_from_slice(locks);
        words.extend(args.iter().map(|arg| (*arg).to_owned()));
        self.redis.call(&words).ok().array()
    }

    /// What became of one submit.
    pub(super) fn submit(&mut self, words: &[&str]) -> String {
        let packed = serde_json::to_string(words).expect("words");
        let answer = self.run("submit", &[], &[&packed])[1].text();
        let outcomes: Vec<String> = serde_json::from_str(&answer).expect("outcomes");
        outcomes[0].split(' ').next().expect("a word").to_owned()
    }

    fn lock(id: &str) -> String {
        key(SERVICE, &format!("lock:{id}"))
    }

    /// False if there was nothing to do.
    pub(super) fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Submit(name, info, wait) => {
                let (word, due) = if wait == 0 {
                    ("now", 0)
                } else {
                    ("at", (self.seconds + wait) * SECOND)
                };
                let coalesced = name.to_string();
                let answer = self.submit(&[word, &due.to_string(), &coalesced, &wire(name, info)]);
                let new = self.model.submit(name, Wish { info, due });
                let expected: &[_] = if new { &["new"] } else { &["coalesced", "noted"] };
                assert!(expected.contains(&&*answer), "{answer}");
            }
            Step::Add(name, info) => {
                self.redis
                    .call(&["XADD", &key(SERVICE, "input"), "*", "lbs-input", &wire(name, info)])
                    .ok();
                self.model.add(name, info);
            }
            Step::Forge(name, info) => {
                let text = name.to_string();
                let input = key(SERVICE, "input");
                let words = ["XADD", &input, "*", "lbs-input", &wire(name, info), "_sh_live", &text];
                self.redis.call(&words).ok();
                self.model.add('!', info);
            }
            Step::Start => return self.start(),
            Step::End(at, end) => {
                if at >= self.leases.len() {
                    return false;
                }
                let lease = self.leases.remove(at);
                self.end(&lease, end);
            }
            Step::Strand(at) => {
                let Some(lease) = self.leases.get(at) else { return false };
                if !self.model.strand(lease.run) {
                    return false;
                }
                let lease = self.leases.remove(at);
                let (stream, id) = place(&lease.id);
                self.redis.call(&["XACK", &stream, "workers", &id]).ok();
                self.redis.call(&["DEL", &Self::lock(&lease.id)]).ok();
            }
            Step::Delete(name) => return self.delete(name),
            Step::Sweep => {
                if !self.model.is_untidy() {
                    return false;
                }
                self.model.sweep();
                self.sweep();
            }
            Step::Tick(seconds) => {
                if self.model.latest_due() <= self.model.now {
                    return false;
                }
                self.set_clock(self.seconds + seconds);
                self.promote();
            }
            Step::Back(seconds) => self.set_clock(self.seconds - seconds),
        }
        true
    }

    fn promote(&mut self) {
        let answer = self.run("promote", &[], &[EPOCH, "100", "0", "0"]);
        for one in &answer[1..answer.len() - 1] {
            assert_eq!(one.array()[1].array()[0].text(), "ok", "{one:?}");
        }
        self.model.promote();
    }

    fn sweep(&mut self) {
        for lane in ["front", "input"] {
            let prefix = key(SERVICE, "lock:");
            let answer = self.run("sweep", &[], &[EPOCH, lane, "-", &prefix, "0", "1000", "1048576", ""]);
            assert_eq!(answer[1].text(), "", "one page");
        }
        let answer = self.run("sweep_live", &[], &[EPOCH, "100"]);
        assert_eq!(answer[1].int(), 1, "one page");
    }

    fn start(&mut self) -> bool {
        let read = self.run(
            "read",
            &[],
            &[EPOCH, WORKER, "w", "1", "1000000", "600000", "1000", "1048576"],
        )[1]
        .text();
        // An empty list is an empty object there.
        let read: [Taken; 2] = serde_json::from_str(&read.replace("{}", "[]")).expect("a list per lane");
        let found = ["front:", ""].into_iter().zip(read);
        let Some((lane, (id, fields, token))) = found
            .into_iter()
            .find_map(|(lane, taken)| Some((lane, taken.first()?.clone())))
        else {
            assert!(!self.model.any_queued(), "nothing was handed out");
            return false;
        };
        let id = format!("{lane}{id}");
        let of = |name: &str| fields.chunks(2).find(|pair| pair[0] == name).map(|pair| &pair[1]);
        let (name, info) = parse(of("lbs-input").expect("an input"));
        // What was somewhere else before is locked by a call of its own.
        assert_eq!(token == 0.0, of("_sh_origin").is_some());
        let token = if token == 0.0 {
            let acquired = self.run("acquire", &[Self::lock(&id)], &[EPOCH, WORKER, "w", "600000", &id]);
            acquired[1].array()[1].text()
        } else {
            format!("{token:.0}")
        };
        let value = format!("{WORKER}:{token}");
        let takes_part = of("_sh_live").is_some();
        let coalesced = takes_part && self.reference(name).as_ref() == Some(&id);
        let known_as = if takes_part && !coalesced { '!' } else { name };
        let run = self.model.start(known_as, info, coalesced);
        let name = takes_part.then_some(name);
        self.leases.push(Lease { run, id, value, name });
        true
    }

    fn end(&mut self, lease: &Lease, end: End) {
        if end == End::Crash {
            let (stream, id) = place(&lease.id);
            self.redis
                .call(&["XCLAIM", &stream, "workers", "ghost", "0", &id, "IDLE", "3600000"])
                .ok();
            self.redis.call(&["DEL", &Self::lock(&lease.id)]).ok();
            let args = [EPOCH, "2000", "0", "0", "0", "1000", "1048576", "0", &lease.id];
            self.run("requeue", &[Self::lock(&lease.id)], &args);
            self.model.end(lease.run, end);
            // It lives after all, and its entry is another's.
            assert_eq!(self.settle(lease, "done", 0), "gone");
            return;
        }
        let there = self.model.end(lease.run, end);
        let (operation, delay) = match end {
            End::Done => ("done", 0),
            End::Release => ("release", 0),
            End::DeadLetter => ("dead_letter", 0),
            End::Retry(delay) => ("retry", delay),
            End::Crash => unreachable!(),
        };
        let expected = match end {
            End::Done => "ok",
            _ if !there => "vanished",
            End::DeadLetter => "dead",
            _ => "ok",
        };
        assert_eq!(self.settle(lease, operation, delay), expected);
    }

    fn settle(&mut self, lease: &Lease, operation: &str, delay: Ms) -> String {
        self.batch += 1;
        let name = lease.name.map(String::from).unwrap_or_default();
        let (batch, delay) = (self.batch.to_string(), delay.to_string());
        let limits = [EPOCH, WORKER, &batch, "0", "0", "1000", "1048576"];
        let token = lease.value.rsplit(':').next().expect("a token");
        // Both ways of a done, in turn.
        if operation == "done" && self.batch.is_multiple_of(2) {
            let done = serde_json::json!([lease.id, token, name]).to_string();
            let answer = self.run("settle", &[], &[limits.as_slice(), &[&done]].concat());
            let exceptions = answer[1].array();
            return exceptions.get(1).map_or("ok".to_owned(), |one| one.array()[0].text());
        }
        let step = [
            "[]",
            operation,
            &lease.id,
            &lease.value,
            &name,
            "rejected",
            "",
            &delay,
            "0",
        ];
        let answer = self.run("settle", &[], &[limits.as_slice(), &step].concat());
        answer[2].array()[0].text()
    }

    /// What stands for a name.
    fn reference(&mut self, name: char) -> Option<String> {
        let live = "local live = redis.call('HGET', KEYS[1], ARGV[1]) return live and cmsgpack.unpack(live)[1]";
        let words = ["EVAL", live, "1", &key(SERVICE, "live"), &name.to_string()];
        match self.redis.call(&words).ok() {
            Reply::Nil => None,
            reference => Some(reference.text()),
        }
    }

    fn delete(&mut self, name: char) -> bool {
        let Some(was) = self.model.delete(name) else {
            return false;
        };
        let reference = self.reference(name).expect("it exists");
        let words = match reference.strip_prefix("delayed:") {
            Some(id) => {
                assert!(matches!(was, Place::Delayed(_)));
                self.redis.call(&["ZREM", &key(SERVICE, "delayed"), id]).ok();
                ["HDEL".to_owned(), key(SERVICE, "delayed:body"), id.to_owned()]
            }
            None => {
                let (stream, id) = place(&reference);
                ["XDEL".to_owned(), stream, id]
            }
        };
        assert_eq!(self.redis.call(&words).int(), 1);
        true
    }

    pub(super) fn check(&mut self, done: &[Step]) {
        let truth = look(&mut self.redis, SERVICE).at(self.model.now);
        let mut expected = self.model.picture();
        for (name, stream) in &mut expected.streams {
            // Nobody knows what it was.
            if stream.place == Place::Deleted {
                stream.info = 0;
                assert!(truth.streams.contains_key(name), "{done:?}");
            }
        }
        assert_eq!(truth, expected, "left Redis, right the model, after {done:?}");
    }

    /// Works on everything until nothing is left.
    pub(super) fn drain(&mut self, done: &[Step]) {
        loop {
            while !self.leases.is_empty() {
                self.step(Step::End(0, End::Done));
            }
            self.step(Step::Sweep);
            let latest = self.model.latest_due() / SECOND;
            if latest > self.seconds {
                self.set_clock(latest);
                self.promote();
            }
            if !self.step(Step::Start) {
                break;
            }
        }
        self.check(done);
        assert!(self.model.picture().streams.is_empty(), "{done:?}");
        self.model.assert_served();
    }

    /// False if one of them could not be done where it comes.
    pub(super) fn sequence(&mut self, steps: &[Step]) -> bool {
        self.reset();
        steps.iter().all(|step| self.step(*step))
    }
}

fn place(id: &str) -> (String, String) {
    match id.strip_prefix("front:") {
        Some(id) => (key(SERVICE, "front"), id.to_owned()),
        None => (key(SERVICE, "input"), id.to_owned()),
    }
}
