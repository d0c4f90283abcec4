//! The parts that do no I/O, as far as they are public: where a stream is placed, ids, and the judge of ledgers.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use streamherd::{EntryId, partition_of};
use streamherd_ledger::{Answer, End, Event, History, How, Line, Verdict};

const NAME: &str = "session-0b6f2a3c-0f43-4a57-9d2f-6c0d8d4f7a11";
const ID: EntryId = EntryId {
    lane: streamherd::Lane::Front,
    id: streamherd::StreamId {
        ms: 1_795_206_880_640,
        seq: 17,
    },
};
const STREAMS: u64 = 10_000;

fn placing(c: &mut Criterion) {
    c.bench_function("partition_of a name", |b| {
        b.iter(|| partition_of(black_box(NAME), black_box(64)));
    });
}

fn ids(c: &mut Criterion) {
    let text = ID.to_string();
    c.bench_function("an entry's id is read", |b| {
        b.iter(|| black_box(text.as_str()).parse::<EntryId>());
    });
    c.bench_function("an entry's id is written", |b| b.iter(|| black_box(ID).to_string()));
}

/// Streams that were submitted, handed out and done, one after the other.
fn history() -> History {
    let mut history = History::default();
    let mut at_us = 0;
    for lease in 0..STREAMS {
        let (stream, id) = (format!("stream-{lease}"), format!("{}-0", lease + 1));
        let producer = [
            Event::Submitting {
                submit: lease,
                stream: stream.clone(),
                partition: 0,
            },
            Event::Submitted {
                submit: lease,
                answer: Answer::New(id.clone()),
                why: None,
            },
        ];
        let worker = [
            Event::Added {
                lease,
                stream,
                partition: 0,
                entry: id.clone(),
                origin: id,
                token: (lease + 1).to_string(),
                attempt: 0,
            },
            Event::Settling { lease, how: How::Done },
            Event::Ended {
                lease,
                end: End::Done,
                why: None,
            },
        ];
        let events = producer.map(|event| ("producer", event)).into_iter();
        for (by, event) in events.chain(worker.map(|event| ("worker.k3f9x2m1", event))) {
            at_us += 1;
            history.apply(Line {
                at_us,
                by: by.to_owned(),
                event,
            });
        }
    }
    history
}

fn judging(c: &mut Criterion) {
    let history = history();
    let mut group = c.benchmark_group("ledger");
    group.throughput(Throughput::Elements(STREAMS)).sample_size(20);
    group.bench_function("a history is judged", |b| b.iter(|| Verdict::on(black_box(&history))));
    group.finish();
}

criterion_group!(pure, placing, ids, judging);
criterion_main!(pure);
