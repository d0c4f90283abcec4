//! A Prometheus recorder whose histograms fit what is measured.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

/// A call to Redis takes a millisecond nearby, and is given up after `command_timeout` (1 s); a scan costs Redis less.
const CALLS: [f64; 13] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];
/// A handler takes milliseconds, or works on a session for hours.
const WORK: [f64; 15] = [
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0,
];
/// An orphan is found when its lock has expired: after `lock_ttl` (6 s), and some seconds with the scan alone.
const ORPHANS: [f64; 12] = [0.5, 1.0, 2.5, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 30.0, 60.0, 300.0];

/// The metrics that are histograms, and the upper bounds of their buckets, in seconds.
pub(crate) const BUCKETS: [(&str, &[f64]); 5] = [
    ("streamherd_store_seconds", &CALLS),
    ("streamherd_scan_cost_seconds", &CALLS),
    ("streamherd_handler_seconds", &WORK),
    ("streamherd_lease_seconds", &WORK),
    ("streamherd_orphan_idle_seconds", &ORPHANS),
];

/// A recorder for Prometheus, to be installed (`install_recorder`) before the client connects, and its handle given to
/// [`Probes::metrics`](crate::Probes::metrics).
///
/// Without buckets the exporter makes summaries of histograms, whose quantiles can't be added up over workers. These are
/// chosen for streamherd's: from 0.25 ms to 2.5 s for calls to Redis and scans, from 5 ms to a day for handlers and leases,
/// from 0.5 s to 5 min for orphans. Histograms of other names are left as the exporter has them; set buckets of your own on
/// what is returned.
#[must_use]
pub fn recorder() -> PrometheusBuilder {
    BUCKETS
        .iter()
        .try_fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
            builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)
        })
        // Only where there are no bounds.
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_grow() {
        for (name, bounds) in BUCKETS {
            assert!(!bounds.is_empty() && bounds.is_sorted_by(|a, b| a < b), "{name}");
        }
    }

    #[test]
    fn a_histogram_of_ours_is_exported_in_buckets() {
        let recorder = recorder().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            for (name, _) in BUCKETS {
                metrics::histogram!(name).record(0.002);
            }
        });
        let text = handle.render();
        for (name, bounds) in BUCKETS {
            assert!(text.contains(&format!("# TYPE {name} histogram")), "{text}");
            let buckets = text.lines().filter(|line| line.starts_with(&format!("{name}_bucket")));
            assert_eq!(buckets.count(), bounds.len() + 1, "{name}");
        }
    }
}
