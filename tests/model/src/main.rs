//! Explores the model for as long and as far as one likes.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use streamherd_model::explore::{exhaust, shortest, walk};
use streamherd_model::{Bounds, Endings, Faults, Protocol, Seeded};

/// Explores the model of the lease protocol, exhaustively or by random walks.
#[derive(Debug, Parser)]
struct Options {
    #[arg(long, default_value_t = 2)]
    workers: u8,
    #[arg(long, default_value_t = 2)]
    streams: u8,
    /// How many entries may be made: submits, re-queues, write-backs.
    #[arg(long, default_value_t = 4)]
    entries: u8,
    /// Ticks of a lock_ttl.
    #[arg(long, default_value_t = 2)]
    ttl: u8,
    /// Begin with nothing instead of with workers that run and streams that are queued.
    #[arg(long)]
    from_nothing: bool,
    /// Handlers may also retry (r), retry later (d), give up (g), hand back (h).
    #[arg(long, default_value = "")]
    endings: String,
    #[arg(long)]
    slow_calls: bool,
    #[arg(long, default_value_t = 0)]
    crashes: u8,
    #[arg(long, default_value_t = 0)]
    starts: u8,
    #[arg(long, default_value_t = 0)]
    shutdowns: u8,
    #[arg(long, default_value_t = 0)]
    lost_replies: u8,
    #[arg(long, default_value_t = 0)]
    stragglers: u8,
    #[arg(long, default_value_t = 0)]
    lags: u8,
    #[arg(long, default_value_t = 0)]
    failovers: u8,
    #[arg(long, default_value_t = 0)]
    wipes: u8,
    #[arg(long, default_value_t = 0)]
    jumps: u8,
    /// A mistake to plant.
    #[arg(long, value_parser = seeded)]
    seeded: Option<Seeded>,
    /// Random walks instead of all states.
    #[arg(long)]
    walks: Option<u64>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Most steps of a walk.
    #[arg(long, default_value_t = 300)]
    steps: usize,
    /// Breadth first, without taking states for the same that differ by names: the shortest way to what is broken.
    #[arg(long)]
    shortest: bool,
    /// Seconds after which an exhaustive search gives up.
    #[arg(long, default_value_t = 3600)]
    patience: u64,
}

impl Options {
    fn bounds(&self) -> Bounds {
        Bounds {
            workers: self.workers,
            streams: self.streams,
            entries: self.entries,
            ttl: self.ttl,
            begun: !self.from_nothing,
            endings: Endings {
                retry: self.endings.contains('r'),
                delay: self.endings.contains('d'),
                dead_letter: self.endings.contains('g'),
                release: self.endings.contains('h'),
            },
            slow_calls: self.slow_calls,
            faults: Faults {
                crashes: self.crashes,
                starts: self.starts,
                shutdowns: self.shutdowns,
                lost_replies: self.lost_replies,
                stragglers: self.stragglers,
                lags: self.lags,
                failovers: self.failovers,
                wipes: self.wipes,
                jumps: self.jumps,
            },
            ..Bounds::small()
        }
    }
}

fn seeded(name: &str) -> Result<Seeded, String> {
    let found = Seeded::ALL.into_iter().find(|seeded| format!("{seeded:?}") == name);
    found.ok_or_else(|| format!("one of {:?}", Seeded::ALL))
}

fn main() -> ExitCode {
    let options = Options::parse();
    let protocol = Protocol {
        bounds: options.bounds(),
        seeded: options.seeded,
    };
    let explored = match options.walks {
        None if options.shortest => shortest(protocol, Duration::from_secs(options.patience)),
        Some(walks) => walk(&protocol, options.seed, walks, options.steps),
        None => exhaust(protocol, Duration::from_secs(options.patience)),
    };
    println!("{explored}");
    ExitCode::from(u8::from(!explored.broken.is_empty()))
}
