//! From what Redis gave to what is shown.

use std::time::Duration;

use streamherd::{
    ConsumerState, ConsumerStatus, DeadLetter, DelayedStatus, LeaseState, LeaseStatus, LetterId, PartitionStatus,
};
use streamherd_dashboard::{Health, History, Master, Sample};

use super::facts;
use super::model::Inspect;
use super::rows::{
    About, CheckRow, ConsumerRow, DelayedRow, HealthRow, LeaseRow, LetterRow, MasterRow, PartitionRow, Picture,
    ProgressRow,
};
use super::text::shown;
use crate::dlq::readable;
use crate::human::now_ms;

/// Fields can be a megabyte, which nobody reads on a screen.
const MOST_OF_A_FIELD: usize = 4_096;

/// `now` is on the clock of the model.
pub(super) fn picture(sample: &Sample, history: History, now: Duration) -> Picture {
    let mut picture = Picture {
        known: sample.status.is_some(),
        taken: now.saturating_sub(sample.age()),
        error: sample.error.clone(),
        rates: sample.rates,
        counts: sample.consumers(),
        masters: sample.masters.iter().map(master).collect(),
        health: sample.health.as_ref().map(|health| self::health(health, now)),
        history: history.points,
        ..Picture::default()
    };
    let Some(status) = sample.status.as_deref() else {
        return picture;
    };
    picture.used = status.used;
    (picture.queued, picture.requeued) = (status.queued, status.requeued);
    picture.oldest_ms = status.queued_oldest_ms.max(status.requeued_oldest_ms);
    (picture.pending, picture.delayed) = (status.pending, status.delayed);
    picture.delayed_next_ms = status.delayed_next_ms;
    (picture.dead_letters, picture.paused_ms) = (status.dead_letters, status.paused_ms);
    let pauses = status.pauses.iter();
    picture.pauses = pauses.map(|pause| (pause.consumer.clone(), pause.paused_ms)).collect();
    picture.consumers = status.consumers.iter().map(|one| consumer(sample, one)).collect();
    picture.partitions = status.partitions.iter().map(partition).collect();
    picture
}

fn consumer(sample: &Sample, status: &ConsumerStatus) -> ConsumerRow {
    ConsumerRow {
        consumer: status.consumer.clone(),
        state: match status.state {
            ConsumerState::Alive => "alive",
            ConsumerState::Silent => "silent",
            _ => "unregistered",
        },
        paused: status.paused,
        pending: status.pending,
        rate: sample.consumer_rates.get(&status.consumer).copied(),
        about: status.registration.as_ref().map(|about| About {
            host: about.host.clone(),
            pid: about.pid,
            version: about.version.clone(),
            capacity: about.capacity,
            held: about.held,
            lock_ttl_ms: about.lock_ttl_ms,
            seen_ms: about.seen_ms,
            up_ms: now_ms().saturating_sub(about.started_ms),
            totals: vec![
                ("done", about.totals.done),
                ("retried", about.totals.retried),
                ("dead-lettered", about.totals.dead_lettered),
                ("released", about.totals.released),
                ("lost", about.totals.lost),
            ],
        }),
    }
}

fn partition(status: &PartitionStatus) -> PartitionRow {
    PartitionRow {
        number: status.number,
        server: status.server.clone(),
        answered: status.answered,
        queued: status.queued,
        requeued: status.requeued,
        pending: status.pending,
        delayed: status.delayed,
        dead_letters: status.dead_letters,
    }
}

fn master(master: &Master) -> MasterRow {
    MasterRow {
        server: master.server.clone(),
        answered: master.answered,
        breaker: master.breaker.as_str(),
        for_ms: millis(master.since),
        partitions: master.partitions.clone(),
        last_error: master.last_error.clone(),
    }
}

fn health(health: &Health, now: Duration) -> HealthRow {
    let mut checks: Vec<_> = health.diagnosis.checks.iter().collect();
    checks.sort_by_key(|check| std::cmp::Reverse(check.verdict));
    let row = |check: &streamherd::Check| CheckRow {
        name: check.name.to_owned(),
        verdict: check.verdict.as_str(),
        found: check.found.clone(),
        meaning: check.meaning.clone(),
        mend: check.mend.clone(),
    };
    HealthRow {
        at: now.saturating_sub(health.age()),
        checks: checks.into_iter().map(row).collect(),
    }
}

pub(super) fn lease(status: &LeaseStatus) -> LeaseRow {
    LeaseRow {
        partition: status.partition,
        id: status.entry.to_string(),
        stream: status.stream.clone(),
        consumer: status.consumer.clone(),
        orphan: status.state == LeaseState::Orphan,
        remaining_ms: status.remaining_ms,
        token: status.token.map(|token| token.to_string()),
        pending_ms: status.pending_ms,
        age_ms: status.age_ms,
        attempt: status.attempt,
        failures: status.failures,
        abandonments: status.abandonments,
        progress: status.progress.as_ref().map(|progress| ProgressRow {
            value: progress.value,
            text: progress.text.clone(),
            age_ms: progress.age_ms,
        }),
    }
}

pub(super) fn delayed(status: &DelayedStatus) -> DelayedRow {
    DelayedRow {
        partition: status.partition,
        id: status.id.clone(),
        stream: status.stream.clone(),
        due_ms: status.due_ms,
        attempt: status.attempt,
        failures: status.failures,
        abandonments: status.abandonments,
    }
}

pub(super) fn letter(letter: &DeadLetter) -> LetterRow {
    LetterRow {
        id: LetterId::from(letter),
        stream: letter.stream.clone(),
        reason: letter.reason,
        error: letter.error.clone(),
        consumer: letter.consumer.clone(),
        failures: letter.failures,
        abandonments: letter.abandonments,
        redriven: letter.redriven,
        age_ms: letter.age_ms,
        bytes: letter.bytes,
    }
}

/// A letter with its fields.
pub(super) fn whole_letter(letter: &DeadLetter) -> Inspect {
    let (title, mut facts) = facts::letter(&self::letter(letter));
    facts.push(("origin".to_owned(), letter.origin.to_string()));
    if let Some(context) = letter.trace_context() {
        facts.push(("trace".to_owned(), shown(&context.to_string())));
    }
    facts.push((String::new(), String::new()));
    for (name, value) in &letter.fields {
        facts.push((String::new(), format!("{}: {}", field(name), field(value))));
    }
    Inspect {
        title,
        facts,
        ..Inspect::default()
    }
}

fn field(bytes: &[u8]) -> String {
    let whole = readable(bytes);
    match whole.char_indices().nth(MOST_OF_A_FIELD) {
        Some((end, _)) => {
            let beginning = shown(whole.get(..end).unwrap_or_default());
            format!("{beginning}… ({} bytes; `streamherd dlq show` prints all)", bytes.len())
        }
        None => shown(&whole),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
