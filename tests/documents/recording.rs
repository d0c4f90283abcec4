//! A recorder that also notes how metrics are described.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) kind: MetricKind,
    pub(crate) unit: Option<Unit>,
    pub(crate) text: String,
}

type Descriptions = Arc<Mutex<BTreeMap<String, Description>>>;

/// A name and its labels; and whether it is more than a counter that stands at zero, as those do that alerts look at.
pub(crate) type Series = (String, MetricKind, Vec<(String, String)>, bool);

pub(crate) struct Recording {
    counts: DebuggingRecorder,
    described: Descriptions,
}

/// What was recorded.
pub(crate) struct Recorded {
    counts: Snapshotter,
    described: Descriptions,
}

/// Records all that this process counts from now on, on every thread.
pub(crate) fn start() -> Recorded {
    let counts = DebuggingRecorder::new();
    let described = Descriptions::default();
    let recorded = Recorded {
        counts: counts.snapshotter(),
        described: Arc::clone(&described),
    };
    metrics::set_global_recorder(Recording { counts, described }).expect("nobody else has one");
    recorded
}

impl Recorded {
    pub(crate) fn series(&self) -> BTreeSet<Series> {
        let all = self.counts.snapshot().into_vec().into_iter();
        all.map(|(key, _, _, value)| {
            let (kind, key) = key.into_parts();
            let label = |label: &metrics::Label| (label.key().to_owned(), label.value().to_owned());
            let counted = !matches!(value, DebugValue::Counter(0));
            (key.name().to_owned(), kind, key.labels().map(label).collect(), counted)
        })
        .collect()
    }

    pub(crate) fn described(&self) -> BTreeMap<String, Description> {
        self.described.lock().unwrap().clone()
    }
}

impl Recording {
    fn describe(&self, kind: MetricKind, key: &KeyName, unit: Option<Unit>, text: &SharedString) {
        let description = Description {
            kind,
            unit,
            text: text.to_string(),
        };
        self.described
            .lock()
            .unwrap()
            .insert(key.as_str().to_owned(), description);
    }
}

impl Recorder for Recording {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(MetricKind::Counter, &key, unit, &text);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(MetricKind::Gauge, &key, unit, &text);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(MetricKind::Histogram, &key, unit, &text);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.counts.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.counts.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.counts.register_histogram(key, metadata)
    }
}
