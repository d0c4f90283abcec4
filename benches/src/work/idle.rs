//! Workers that have nothing to do but to look after what others hold.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit, set_global_recorder,
};
use serde::{Deserialize, Serialize};
use streamherd::{Client, Notifications, Recovery};

use super::Service;
use crate::BenchError;
use crate::part::{Counted, Stage};

/// Says, as often as it is asked, how often it has scanned in between, and what each scan cost Redis.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Idle {
    /// Of this service.
    pub service: Service,
    /// How often it is asked.
    pub rounds: usize,
}

impl Idle {
    pub(crate) async fn play(&self, stage: &mut Stage) -> Result<(), BenchError> {
        let scans = Scans::default();
        set_global_recorder(scans.clone()).map_err(BenchError::streamherd)?;
        // What a sweep costs is another question, and it would come into one of the rounds and not into the others.
        let recovery = Recovery {
            sweep_interval: Duration::ZERO,
            ..Recovery::default()
        };
        let connected = self.service.builder().recovery(recovery).connect().await;
        let (_client, _notifications): (Client, Notifications) = connected.map_err(BenchError::streamherd)?;
        stage.ready().await?;
        for _ in 0..self.rounds {
            scans.take();
            let begun = Instant::now();
            stage.told().await?;
            let latencies = scans.take();
            let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            stage
                .end(Counted {
                    jobs: latencies.len() as u64,
                    micros,
                    latencies,
                })
                .await?;
        }
        Ok(())
    }
}

/// What each scan that was not left to another worker cost Redis, in microseconds, as the library tells it.
#[derive(Debug, Clone, Default)]
struct Scans(Arc<Mutex<Vec<u64>>>);

impl Scans {
    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HistogramFn for Scans {
    fn record(&self, seconds: f64) {
        let micros = Duration::from_secs_f64(seconds).as_micros();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(u64::try_from(micros).unwrap_or(u64::MAX));
    }
}

impl Recorder for Scans {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() == "streamherd_scan_cost_seconds" {
            Histogram::from_arc(Arc::new(self.clone()))
        } else {
            Histogram::noop()
        }
    }
}
