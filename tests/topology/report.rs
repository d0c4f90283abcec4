//! What a fault cost: printed, and kept in `target/topology-faults/`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use streamherd_ledger::{At, End, History};

/// The longest time in which nothing happened, and when it was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) length: Duration,
    pub(crate) over: At,
}

/// What happened to one partition from a fault on.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    pub(crate) partition: u16,
    pub(crate) submits: Gap,
    pub(crate) deliveries: Gap,
    pub(crate) settlements: Gap,
}

impl Flow {
    pub(crate) fn of(record: &History, partition: u16, fault: At) -> Self {
        let submits = record.submits.iter().filter(|submit| submit.partition == partition);
        let submits = submits.filter(|submit| submit.acknowledged().is_some());
        // Later it runs dry.
        let last = submits.clone().map(|submit| submit.asked).max().unwrap_or(fault);
        let leases = record.leases.iter().filter(|held| held.partition == partition);
        let counted = leases.clone().filter_map(|held| held.ended);
        let counted = counted.filter(|(_, end)| matches!(end, End::Done | End::DeadLettered | End::Requeued));
        Self {
            partition,
            submits: gap(submits.map(|submit| submit.answered), fault, last),
            deliveries: gap(leases.map(|held| held.handed_out), fault, last),
            settlements: gap(counted.map(|(at, _)| at), fault, last),
        }
    }

    fn json(&self, fault: At) -> Value {
        let gap =
            |gap: Gap| json!({ "longest_gap_ms": ms(gap.length), "over_after_ms": ms(gap.over.saturating_sub(fault)) });
        json!({
            "partition": self.partition,
            "submits": gap(self.submits),
            "deliveries": gap(self.deliveries),
            "settlements": gap(self.settlements),
        })
    }
}

/// The longest gap that was not over before the fault. `last` is the end of what there could be.
fn gap(moments: impl Iterator<Item = At>, fault: At, last: At) -> Gap {
    let mut moments: Vec<At> = moments.collect();
    moments.sort_unstable();
    let first = moments.partition_point(|at| *at < fault).saturating_sub(1);
    let after = moments.get(first..).unwrap_or_default();
    let gaps = after.windows(2).filter(|pair| pair[0] < last).map(|pair| Gap {
        length: pair[1] - pair[0],
        over: pair[1],
    });
    gaps.max_by_key(|gap| gap.length).unwrap_or(Gap {
        length: Duration::ZERO,
        over: fault,
    })
}

/// What a test found out.
#[derive(Debug)]
pub(crate) struct Report(serde_json::Map<String, Value>);

impl Report {
    /// Of a load in which something went wrong at `fault`; `hit` are the partitions that it went wrong for.
    pub(crate) fn of(test: &str, record: &History, fault: At, partitions: u16, hit: &[u16]) -> Self {
        let flows: Vec<Value> = (0..partitions)
            .map(|partition| {
                let mut flow = Flow::of(record, partition, fault).json(fault);
                flow["hit"] = hit.contains(&partition).into();
                flow
            })
            .collect();
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, _, why) in &record.disowned {
            *reasons.entry(why).or_default() += 1;
        }
        let unsure = record.submits.len()
            - record
                .submits
                .iter()
                .filter(|submit| submit.acknowledged().is_some())
                .count();
        let count = |end: End| {
            let ends = record.leases.iter().filter_map(|held| held.ended);
            ends.filter(|(_, how)| *how == end).count()
        };
        let mut report = Self(serde_json::Map::new());
        report.set("test", test);
        report.set("partitions", flows);
        report.set(
            "leases",
            json!({
                "handed_out": record.leases.len(), "done": count(End::Done),
                "dead_lettered": count(End::DeadLettered), "requeued": count(End::Requeued),
                "refused": count(End::Refused), "lost": count(End::Lost), "unknown": count(End::Unknown),
                "disowned": reasons,
            }),
        );
        report.set("why_unknown", record.unknown.clone());
        report.set("submits_without_an_answer", unsure);
        report.set("longest_until_handed_out_again_ms", longest_handover(record).map(ms));
        report
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Prints it and writes it down.
    pub(crate) fn publish(self) {
        let name = self.0["test"].as_str().expect("its name").to_owned();
        let text = serde_json::to_string_pretty(&self.0).expect("it is JSON");
        println!("{name}: {}", Value::from(self.0));
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let dir = target.parent().unwrap_or(target).join("topology-faults");
        std::fs::create_dir_all(&dir).expect("a directory for reports");
        std::fs::write(dir.join(format!("{name}.json")), text).expect("a report can be written");
    }
}

/// The longest time from when a lease was last known valid until its stream was handed out again, of those that were
/// lost.
fn longest_handover(record: &History) -> Option<Duration> {
    let lost = record
        .leases
        .iter()
        .filter(|held| matches!(held.ended, Some((_, End::Lost | End::Refused))));
    lost.filter_map(|held| {
        let (_, valid) = held.valid?;
        let later = record
            .leases
            .iter()
            .filter(|later| later.stream == held.stream && later.handed_out > held.handed_out);
        Some(later.map(|later| later.handed_out).min()?.saturating_sub(valid))
    })
    .max()
}

pub(crate) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[test]
fn the_longest_gap_is_found_and_one_that_was_over_before_the_fault_is_not() {
    let at = Duration::from_millis;
    let moments = [0, 500, 510, 900, 910, 920].map(at);
    let found = gap(moments.into_iter(), at(600), at(1000));
    assert_eq!((found.length, found.over), (at(390), at(900)));
    assert_eq!(gap(moments.into_iter(), at(905), at(1000)).length, at(10));
    assert_eq!(gap([].into_iter(), at(905), at(1000)).length, Duration::ZERO);
}
