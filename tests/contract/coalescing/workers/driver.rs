//! Does each step with a worker and a producer and in the model, and compares the two.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamherd::error::SettleError;
use streamherd::{Duplicates, KeyspaceEvents, Lease, Producer, Recovery, RetryAfter, Submitted};
use streamherd_testkit::RawClient;
use streamherd_tests::{ANSWER, Address, Redis, SOON, Worker, patiently, recovery};

use super::{HOUR, Step};
use crate::contract::coalescing::model::{End, Model, Ms, Picture, Place, Run, Wish};
use crate::contract::coalescing::{key, look, wire};

pub(super) struct Driver {
    service: String,
    redis: RawClient,
    pub(super) worker: Worker,
    producer: Producer,
    model: Model,
    leases: Vec<(Run, Lease)>,
    /// Keeps the only slot that a worker can't be without.
    _plug: Lease,
}

impl Driver {
    pub(super) async fn new(server: &Redis, number: u32) -> Self {
        let service = format!("s{number}");
        let redis = server.client_for(&key(&service, "input"));
        // The model is of one partition.
        let at = Address::of(&server.address().url);
        let builder = || {
            at.service(&service)
                .consumer("w")
                .lock_ttl(Duration::from_secs(10))
                .command_timeout(ANSWER)
                .max_in_flight(1)
                .keyspace_events(KeyspaceEvents::Off)
        };
        let worker = builder().recovery(Recovery {
            min_idle: Some(Duration::from_secs(11)),
            scan_interval: Duration::from_millis(20),
            sweep_interval: Duration::from_millis(100),
            max_failures: 0,
            max_abandonments: 0,
            ..recovery()
        });
        let mut worker = Worker::with(worker).await;
        let producer = patiently(|| builder().connect_producer()).await;
        producer
            .clone()
            .duplicates(Duplicates::Parallel)
            .submit("plug", &0)
            .await
            .expect("a submit");
        let plug = worker.added().await;
        let mut driver = Self {
            service,
            redis,
            worker,
            producer,
            model: Model::default(),
            leases: Vec::new(),
            _plug: plug,
        };
        driver.model = Model::at(driver.now());
        driver
    }

    fn now(&mut self) -> Ms {
        let time = self.redis.cmd("TIME").strings();
        let part = |n: usize| time[n].parse::<Ms>().expect("a number");
        part(0) * 1_000 + part(1) / 1_000
    }

    /// As many slots as are taken once `more` have been.
    fn slots(&self, more: usize) {
        let taken = 1 + self.leases.len();
        self.worker.client.set_max_in_flight(taken + more).expect("a number");
    }

    pub(super) async fn step(&mut self, step: Step) -> bool {
        self.model.now = self.now();
        match step {
            Step::Submit(name, info, hours) => self.submit(name, info, hours).await,
            Step::Parallel(name, info) => {
                let producer = self.producer.clone().duplicates(Duplicates::Parallel);
                producer.submit(&name.to_string(), &info).await.expect("a submit");
                self.model.add(name, info);
            }
            Step::Add(name, info) => {
                let words = [
                    "XADD",
                    &key(&self.service, "input"),
                    "*",
                    "lbs-input",
                    &wire(name, info),
                ];
                self.redis.call(&words).ok();
                self.model.add(name, info);
            }
            Step::Start => {
                if !self.model.any_queued() {
                    return false;
                }
                self.slots(1);
                self.take().await;
            }
            Step::End(at, end) => {
                if at >= self.leases.len() {
                    return false;
                }
                self.end(at, end).await;
            }
            Step::Delete(name, again) => return self.delete(name, again).await,
            Step::Due(name) => return self.due(name).await,
            Step::Pause(name, info) => {
                let idle = !self.model.any_queued();
                if idle {
                    // A read may be blocked when the pause comes.
                    self.slots(1);
                }
                assert!(self.worker.client.pause().await.expect("a pause"));
                self.submit(name, info, 0).await;
                self.slots(1);
                self.check(&[]).await;
                assert!(self.worker.client.resume().await.expect("a resume"));
                if self.model.any_queued() {
                    self.take().await;
                } else {
                    self.slots(0);
                }
            }
        }
        true
    }

    async fn submit(&mut self, name: char, info: u8, hours: Ms) {
        let (producer, text) = (&self.producer, name.to_string());
        let now = self.model.now;
        let (due, answer) = if hours == 0 {
            (0, producer.submit(&text, &info).await)
        } else if info == 1 {
            (
                now + hours * HOUR,
                producer
                    .schedule_after(&text, &info, Duration::from_millis(hours * HOUR))
                    .await,
            )
        } else {
            let due = SystemTime::now() + Duration::from_millis(hours * HOUR);
            let ms = due.duration_since(UNIX_EPOCH).expect("the present").as_millis();
            (
                Ms::try_from(ms).expect("a time"),
                producer.schedule(&text, &info, due).await,
            )
        };
        let new = self.model.submit(name, Wish { info, due });
        let answer = answer.expect("a submit");
        assert_eq!(matches!(answer, Submitted::New(_)), new, "{answer:?}");
    }

    async fn take(&mut self) {
        let lease = self.worker.added().await;
        let name = lease.stream().chars().next().expect("a name");
        let info = lease.info::<u8>().expect("an info");
        let live = "local live = redis.call('HGET', KEYS[1], ARGV[1]) return live and cmsgpack.unpack(live)[1] or ''";
        let words = ["EVAL", live, "1", &key(&self.service, "live"), &name.to_string()];
        let coalesced = self.redis.call(&words).text() == lease.id().to_string();
        let run = self.model.start(name, info, coalesced);
        self.leases.push((run, lease));
    }

    async fn end(&mut self, at: usize, end: End) {
        let (run, lease) = self.leases.remove(at);
        self.slots(0);
        let there = self.model.end(run, end);
        if end == End::Crash {
            let crash = "redis.call('XCLAIM', KEYS[1], 'workers', 'ghost', 0, ARGV[1], 'IDLE', 3600000)
                redis.call('DEL', KEYS[2])";
            let id = lease.id().to_string();
            let lane = if id.starts_with("front:") { "front" } else { "input" };
            let (stream, lock) = (key(&self.service, lane), key(&self.service, &format!("lock:{id}")));
            let words = ["EVAL", crash, "2", &stream, &lock, id.trim_start_matches("front:")];
            self.redis.call(&words).ok();
            if there {
                // Taken over by a peer first, so that it can't be handed back by its owner.
                self.check(&[]).await;
            }
            let answer = lease.done().await;
            assert!(matches!(answer, Err(SettleError::Disowned(_))), "{answer:?}");
            return;
        }
        let answer = match end {
            End::Done => lease.done().await,
            End::Retry(ms) => lease.retry(RetryAfter::after(Duration::from_millis(ms))).await,
            End::Release => lease.release().await,
            End::DeadLetter => lease.dead_letter("no").await,
            End::Crash => unreachable!(),
        };
        match answer {
            Ok(_) => assert!(there || end == End::Done, "{end:?} of what is gone"),
            Err(SettleError::Vanished { .. }) => assert!(!there && end != End::Done, "{end:?}"),
            Err(e) => panic!("{end:?}: {e}"),
        }
    }

    async fn delete(&mut self, name: char, again: Option<u8>) -> bool {
        if !matches!(self.model.stream(name), Some(stream) if stream.place != Place::Deleted) {
            return false;
        }
        let live = "local ref = cmsgpack.unpack(redis.call('HGET', KEYS[1], ARGV[1]))[1]
            local delayed, front = string.match(ref, '^delayed:(.+)$'), string.match(ref, '^front:(.+)$')
            if delayed then
              return redis.call('ZREM', KEYS[4], delayed) + redis.call('HDEL', KEYS[5], delayed) - 1
            end
            return redis.call('XDEL', front and KEYS[3] or KEYS[2], front or ref)";
        let mut words = vec!["EVAL".to_owned(), live.to_owned(), "5".to_owned()];
        words.extend(["live", "input", "front", "delayed", "delayed:body"].map(|part| key(&self.service, part)));
        words.push(name.to_string());
        if let Some(info) = again {
            // In one step, as a sweep may come at any time.
            let (deleted, producer) = (self.redis.call(&words), self.producer.clone());
            assert_eq!(deleted.int(), 1);
            self.model.delete(name);
            let answer = producer.submit(&name.to_string(), &info).await.expect("a submit");
            // Unless a sweep was between the two, and brought what is wanted after it.
            if matches!(answer, Submitted::Coalesced(_)) {
                self.model.sweep();
            }
            let new = self.model.submit(name, Wish { info, due: 0 });
            assert_eq!(matches!(answer, Submitted::New(_)), new, "{answer:?}");
        } else {
            assert_eq!(self.redis.call(&words).int(), 1);
            self.model.delete(name);
            self.model.sweep();
        }
        true
    }

    async fn due(&mut self, name: char) -> bool {
        if !matches!(self.model.stream(name), Some(stream) if matches!(stream.place, Place::Delayed(_))) {
            return false;
        }
        let bring =
            "local id = string.match(cmsgpack.unpack(redis.call('HGET', KEYS[1], ARGV[1]))[1], '^delayed:(.+)$')
            return redis.call('ZADD', KEYS[2], 'XX', 'CH', 1, id)";
        let keys = ["live", "delayed"].map(|part| key(&self.service, part));
        let words = ["EVAL", bring, "2", &keys[0], &keys[1], &name.to_string()];
        assert_eq!(self.redis.call(&words).int(), 1);
        self.model.bring_forward(name);
        true
    }

    /// Waits until Redis looks as the model does; times may differ by what a test takes.
    pub(super) async fn check(&mut self, done: &[Step]) {
        let expected = coarse(self.model.picture(), self.model.now);
        let (service, redis, now) = (&self.service, &mut self.redis, self.model.now);
        let mut last = None;
        let agrees = async {
            loop {
                let mut truth = look(redis, service);
                truth.others.retain(|other| other.0 != 'p');
                truth.locks -= 1;
                let truth = coarse(truth, now);
                if truth == expected {
                    return;
                }
                last = Some(truth);
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        if tokio::time::timeout(SOON, agrees).await.is_err() {
            panic!("Redis: {last:#?}\nthe model: {expected:#?}\nafter {done:?}");
        }
    }

    pub(super) async fn drain(&mut self, done: &[Step]) {
        loop {
            while !self.leases.is_empty() {
                self.end(0, End::Done).await;
                self.check(done).await;
            }
            for name in ['a', 'b', 'c'] {
                if self.due(name).await {
                    self.check(done).await;
                }
            }
            self.model.now = self.now();
            if self.model.is_idle() {
                break;
            }
            if self.step(Step::Start).await {
                self.check(done).await;
            } else {
                let hand = "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], 1, id) end";
                self.redis
                    .call(&["EVAL", hand, "1", &key(&self.service, "delayed")])
                    .ok();
                self.model.bring_others_forward();
                self.check(done).await;
            }
        }
        self.model.assert_served();
        let kept = ["HLEN", "HLEN", "ZCARD"];
        for (count, part) in kept.iter().zip(["live", "delayed:body", "delayed"]) {
            assert_eq!(self.redis.call(&[*count, &key(&self.service, part)]).int(), 0, "{part}");
        }
    }
}

/// With times in hours from now.
fn coarse(mut picture: Picture, now: Ms) -> Picture {
    let hours = |due: &mut Ms| *due = (due.saturating_sub(now) + HOUR / 2) / HOUR;
    for stream in picture.streams.values_mut() {
        if let Place::Delayed(due) = &mut stream.place {
            hours(due);
        }
        if let Some(wanted) = &mut stream.wanted {
            hours(&mut wanted.due);
        }
    }
    for (_, _, place) in &mut picture.others {
        if let Place::Delayed(due) = place {
            hours(due);
        }
    }
    picture.others.sort_unstable();
    picture
}
