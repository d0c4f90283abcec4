//! `streamherd top`: the service in a terminal, live.
//!
//! What is known is a [`Model`]; [`update`] changes it by keys and answers and says what is to be done, [`view`] draws it.
//! Both are pure. [`Hands`] does what is to be done, and this file brings them together.

mod action;
mod convert;
mod facts;
mod hands;
mod list;
mod model;
mod rows;
mod terminal;
mod text;
mod update;
mod verdict;
mod view;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use streamherd_dashboard::{Sampler, SamplerOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::hands::Hands;
use self::model::Model;
use self::terminal::{Screen, read_keys};
use self::update::{Effect, Event, update};
use crate::args::{Global, duration};
use crate::failure::Failure;

/// Watch the service live in the terminal, and act on it
#[derive(Debug, Args)]
#[command(after_help = HELP, override_usage = "streamherd top --service <NAME> [OPTIONS]")]
pub(crate) struct TopArgs {
    /// Only look: no key changes anything
    #[arg(long, env = "STREAMHERD_READ_ONLY")]
    read_only: bool,

    /// Time from one look at Redis to the next, 100ms at least
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    interval: Duration,
}

const HELP: &str = "\
Keys:
  1 to 6, Tab   overview, consumers, leases, delayed, dead letters, partitions
  Up, Down      mark a row (also k and j); PgUp and PgDn turn pages
  Enter         the marked row with all it has; on the overview all that is wrong
  f, /          filter: leases to orphans, dead letters by reason; look for a name
  r             redrive the marked dead letter
  a             queue the marked lease or delayed stream again
  p             pause or resume the marked consumer; in other views the service
  ?             all keys
  q, Esc        leave
What changes something is asked about first. Colours are left out if NO_COLOR is set.

It needs a terminal; for scripts there is `status`.

Exit codes:
  0  left, or ended by a signal
  1  the terminal failed
  2  usage or start-up error: no terminal, a setting, the connection";

/// How often the screen is drawn anew though nothing happens: ages grow.
const TICK: Duration = Duration::from_secs(1);

pub(crate) async fn run(global: &Global, options: &TopArgs) -> Result<ExitCode, Failure> {
    let builder = global.builder()?;
    if !io::stdout().is_terminal() {
        return Err(Failure::start(
            "stdout is no terminal, which top draws on; use `streamherd status`, for programs with --output json",
        ));
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::start)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(Failure::start)?;
    let admin = builder.connect_admin().await.map_err(Failure::start)?;
    let mut looks = SamplerOptions::default();
    looks.interval = options.interval;
    let sampler = Sampler::start(admin.clone(), looks);
    let mut samples = sampler.subscribe();
    let (sender, mut events) = mpsc::unbounded_channel();
    let hands = Hands::new(admin.clone(), sampler.clone(), sender.clone());

    let started = Instant::now();
    let mut screen = Screen::take().map_err(Failure::failed)?;
    read_keys(sender).map_err(Failure::failed)?;
    let size = screen.terminal.size().map_err(Failure::failed)?;
    let mut model = Model {
        service: admin.service().to_owned(),
        read_only: options.read_only,
        plain: std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty()),
        interval: sampler.interval(),
        size: (size.width, size.height),
        ..Model::default()
    };
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    'shown: loop {
        model.now = started.elapsed();
        if Screen::is_lost() {
            return Err(Failure::failed("a part of top has failed; see above"));
        }
        let drawn = screen.terminal.draw(|frame| view::draw(&model, frame));
        drawn.map_err(Failure::failed)?;
        let event = tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => break,
            event = events.recv() => match event {
                Some(event) => event,
                None => break,
            },
            changed = samples.changed() => {
                if changed.is_err() {
                    break;
                }
                let sample = samples.borrow_and_update().clone();
                Event::Sampled(Box::new(convert::picture(&sample, sampler.history(), started.elapsed())))
            }
            _ = tick.tick() => continue,
        };
        model.now = started.elapsed();
        for effect in update(&mut model, event) {
            if effect == Effect::Leave {
                break 'shown;
            }
            hands.begin(effect);
        }
    }
    drop(screen);
    drop((hands, sampler));
    admin.close().await;
    Ok(ExitCode::SUCCESS)
}
