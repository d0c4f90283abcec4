//! The processes that are measured, from inside.
//!
//! A part says `ready` when it could begin, begins when it is told `go`, and says `end` with what it has counted; each a
//! line of JSON. It then waits for its standard input to close, so that it can be looked at. One that serves whatever comes
//! says `ready` once more when it is connected, and ends when it is told `go` again.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader, Stdin};

use crate::{BenchError, raw, work};

/// One program to measure.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Bare commands that drain a stream: read, acknowledge, delete.
    RawDrain(raw::drain::Drain),
    /// Bare commands that extend keys.
    RawExtend(raw::extend::Extend),
    /// Bare commands that fill a stream.
    RawFill(raw::fill::Fill),
    /// Bare commands that take over what a dead consumer has left.
    RawTakeOver(raw::orphans::TakeOver),
    /// Bare commands that look at all that is pending.
    RawWalk(raw::orphans::Walk),
    /// A producer.
    Submit(work::submit::Submit),
    /// A worker that does no work and says done.
    Drain(work::drain::Drain),
    /// Bare commands that add entries at their times.
    RawAdds(raw::pace::Adds),
    /// Bare commands that read whatever comes.
    RawServe(raw::serve::Serve),
    /// Bare commands that drain streams that others may drain too.
    RawDrains(raw::share::Drains),
    /// Bare commands that fill several streams.
    RawFills(raw::share::Fills),
    /// A producer whose jobs come at their times.
    Submits(work::pace::Submits),
    /// A worker that does no work and says done, until it is told to end.
    Serve(work::serve::Serve),
    /// A worker that keeps all it is given.
    Hold(work::hold::Hold),
    /// A worker that is given nothing.
    Idle(work::idle::Idle),
    /// A worker that holds leases.
    Keep(work::keep::Keep),
}

/// What a part says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    Ready,
    End(Counted),
}

/// What a part has counted between `go` and its end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) jobs: u64,
    pub(crate) micros: u64,
    /// Each of what was timed, in microseconds.
    pub(crate) latencies: Vec<u64>,
}

impl Counted {
    /// So many jobs, from that moment to this.
    pub(crate) fn since(begun: Instant, jobs: u64) -> Self {
        Self {
            jobs,
            micros: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            latencies: Vec::new(),
        }
    }
}

/// Plays a part, in a process that [`measure`](crate::measure) has started for it.
///
/// # Errors
/// It could not be played.
pub async fn play(part: &str) -> Result<(), BenchError> {
    let mut stage = Stage {
        lines: BufReader::new(tokio::io::stdin()),
    };
    match serde_json::from_str(part)? {
        Part::RawDrain(drain) => drain.play(&mut stage).await,
        Part::RawExtend(extend) => extend.play(&mut stage).await,
        Part::RawFill(fill) => fill.play(&mut stage).await,
        Part::RawTakeOver(take_over) => take_over.play(&mut stage).await,
        Part::RawWalk(walk) => walk.play(&mut stage).await,
        Part::Submit(submit) => submit.play(&mut stage).await,
        Part::Drain(drain) => drain.play(&mut stage).await,
        Part::RawAdds(adds) => adds.play(&mut stage).await,
        Part::RawServe(serve) => serve.play(&mut stage).await,
        Part::RawDrains(drains) => drains.play(&mut stage).await,
        Part::RawFills(fills) => fills.play(&mut stage).await,
        Part::Submits(submits) => submits.play(&mut stage).await,
        Part::Serve(serve) => serve.play(&mut stage).await,
        Part::Hold(hold) => hold.play(&mut stage).await,
        Part::Idle(idle) => idle.play(&mut stage).await,
        Part::Keep(keep) => keep.play(&mut stage).await,
    }
}

/// The way to whoever measures.
pub(crate) struct Stage {
    lines: BufReader<Stdin>,
}

impl Stage {
    /// Says that it could begin, and waits until it may.
    pub(crate) async fn ready(&mut self) -> Result<(), BenchError> {
        say(&Word::Ready)?;
        self.told().await
    }

    /// Says what was counted, and waits until it may go.
    pub(crate) async fn end(&mut self, counted: Counted) -> Result<(), BenchError> {
        say(&Word::End(counted))?;
        self.told().await
    }

    /// Waits for the next line, or for the end of them.
    pub(crate) async fn told(&mut self) -> Result<(), BenchError> {
        self.lines.read_line(&mut String::new()).await?;
        Ok(())
    }
}

fn say(word: &Word) -> Result<(), BenchError> {
    println!("{}", serde_json::to_string(word)?);
    Ok(())
}
