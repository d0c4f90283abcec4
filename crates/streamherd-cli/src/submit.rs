//! `streamherd submit`: puts streams on the queue, from the command line or from newline-delimited JSON.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use streamherd::{Duplicates, Producer, Submitted, TraceContext};
use tokio::fs::File;
use tokio::io::{self, AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::sync::mpsc;

use crate::args::{Global, Output, SubmitArgs};
use crate::failure::{Failure, in_one_line};
use crate::output;

/// Streams submitted together. Input is read ahead by as many, and no further.
const CHUNK: usize = 500;

/// The longest line of input: an entry has at most 1 MiB, and with it stand a name and blanks.
const LONGEST: usize = 2 * 1024 * 1024;

/// One line of input. An unknown field is refused: it is a misspelt `info` more often than anything harmless.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    pub(crate) stream: String,
    #[serde(default)]
    pub(crate) info: Option<Box<RawValue>>,
}

/// What was read, and where it stood, for messages.
type Read = (String, Result<Item, String>);

pub(crate) async fn run(global: &Global, options: &SubmitArgs) -> Result<ExitCode, Failure> {
    let builder = global.builder()?;
    let (sender, mut items) = mpsc::channel(CHUNK);
    // Before the connection, so that a wrong path is told even when Redis is away.
    let input = match &options.file {
        Some(path) => Some(open(path).await?),
        None => None,
    };
    let mut producer = builder.connect_producer().await.map_err(Failure::start)?;
    if options.parallel {
        producer = producer.duplicates(Duplicates::Parallel);
    }
    let producer = producer.traced(options.traceparent.or_else(inherited));
    match input {
        Some(input) => {
            tokio::spawn(read_lines(input, sender));
        }
        None => {
            tokio::spawn(take_names(options.names.clone(), options.info.clone(), sender));
        }
    }

    let mut summary = Summary::default();
    let mut chunk = Vec::with_capacity(CHUNK);
    // Takes what is there: a slow writer's lines are not held back until a chunk is full.
    while items.recv_many(&mut chunk, CHUNK).await > 0 {
        let chunk = std::mem::take(&mut chunk);
        submit(&producer, chunk, options.delay, global.output, &mut summary).await?;
    }
    producer.close().await;

    let Summary { submitted, failed } = summary;
    output::say(&format!("submitted {submitted}, failed {failed}"));
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The trace that this process is part of. Others write it for all they start, so what is none is no reason to submit nothing.
fn inherited() -> Option<TraceContext> {
    let said = std::env::var_os("TRACEPARENT").filter(|said| !said.is_empty())?;
    match said.to_string_lossy().parse() {
        Ok(context) => Some(context),
        Err(e) => {
            output::say(&format!("TRACEPARENT is left out: {e}"));
            None
        }
    }
}

#[derive(Default)]
struct Summary {
    submitted: u64,
    failed: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    stream: &'a str,
    id: String,
    /// It was queued, delayed or held already.
    coalesced: bool,
}

async fn submit(
    producer: &Producer,
    chunk: Vec<Read>,
    delay: Option<Duration>,
    form: Output,
    summary: &mut Summary,
) -> Result<(), Failure> {
    let mut items = Vec::with_capacity(chunk.len());
    for (place, read) in chunk {
        match read {
            Ok(item) => items.push((place, item)),
            Err(problem) => summary.fail(&place, &problem),
        }
    }
    let streams = items.iter().map(|(_, item)| (&item.stream, &item.info));
    let results = match delay {
        None => producer.submit_many(streams).await,
        Some(delay) => producer.schedule_many_after(streams, delay).await,
    };
    for ((place, item), result) in items.iter().zip(results) {
        match result {
            Ok(outcome) => {
                summary.submitted += 1;
                let stream = item.stream.as_str();
                let id = outcome.reference();
                let coalesced = matches!(outcome, Submitted::Coalesced(_));
                match form {
                    Output::Json => output::json(&Line {
                        stream,
                        id: id.to_string(),
                        coalesced,
                    })?,
                    Output::Table if coalesced => output::line(&format!("{id}  {stream}  (coalesced)"))?,
                    Output::Table => output::line(&format!("{id}  {stream}"))?,
                }
            }
            Err(e) => summary.fail(place, &in_one_line(&e)),
        }
    }
    Ok(())
}

impl Summary {
    fn fail(&mut self, place: &str, problem: &str) {
        self.failed += 1;
        output::say(&format!("{place}: {problem}"));
    }
}

async fn open(path: &Path) -> Result<Box<dyn AsyncRead + Send + Unpin>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(tokio::io::stdin()));
    }
    let refuse = |why: &dyn Display| Failure::start(format!("cannot read {}: {why}", path.display()));
    let file = File::open(path).await.map_err(|e| refuse(&e))?;
    // Opening one succeeds; only reading fails.
    if file.metadata().await.is_ok_and(|metadata| metadata.is_dir()) {
        return Err(refuse(&"it is a directory"));
    }
    Ok(Box::new(file))
}

async fn take_names(names: Vec<String>, info: Option<Box<RawValue>>, sender: mpsc::Sender<Read>) {
    for stream in names {
        let item = Item {
            stream: stream.clone(),
            info: info.clone(),
        };
        if sender.send((stream, Ok(item))).await.is_err() {
            return;
        }
    }
}

pub(crate) fn item(line: &[u8]) -> Result<Item, String> {
    let refused = |problem: &str| format!("not an object of the form {{\"stream\": NAME, \"info\": JSON}}: {problem}");
    // serde takes a list of a struct's values for the struct.
    if line.trim_ascii_start().starts_with(b"[") {
        return Err(refused("it is a list"));
    }
    // To serde_json each line is the first.
    let read = serde_json::from_slice(line.trim_ascii_end());
    read.map_err(|e| refused(&e.to_string().replace(" at line 1 column ", " at column ")))
}

async fn read_lines(input: impl AsyncRead + Unpin, sender: mpsc::Sender<Read>) {
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let place = || format!("line {number}");
        let read = match read_line(&mut input, &mut line).await {
            Ok(0) => return,
            Ok(bytes) if bytes > LONGEST => Err(format!(
                "it has {bytes} bytes, and the limit is {LONGEST}; keep the payload elsewhere and submit a reference to it"
            )),
            Ok(_) if line.trim_ascii().is_empty() => continue,
            Ok(_) => item(&line),
            Err(e) => {
                let _ = sender.send((place(), Err(format!("cannot read on: {e}")))).await;
                return;
            }
        };
        if sender.send((place(), read)).await.is_err() {
            return;
        }
    }
}

/// Reads a line with its end, and says how long it is. Of one that is too long it keeps the beginning only, whatever its
/// length: input may come from a program that never ends its line.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<usize> {
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = (&mut *input).take(most).read_until(b'\n', line).await?;
    let mut ended = bytes <= LONGEST || line.ends_with(b"\n");
    while !ended {
        let more = input.fill_buf().await?;
        let end = more.iter().position(|byte| *byte == b'\n');
        let skipped = end.map_or(more.len(), |at| at + 1);
        ended = end.is_some() || skipped == 0;
        input.consume(skipped);
        bytes += skipped;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_object_and_nothing_else() {
        assert_eq!(item(br#" {"stream": "a"} "#).unwrap().stream, "a");
        for line in [
            r#"["a", 1]"#,
            r#"["a"]"#,
            "\"a\"",
            r#"{"stream": "a", "inof": 1}"#,
            r#"{"stream": "a"} 1"#,
        ] {
            let problem = item(line.as_bytes()).unwrap_err();
            assert!(problem.starts_with("not an object of the form"), "{problem}");
        }
    }

    #[tokio::test]
    async fn a_line_without_end_takes_no_more_memory_than_the_longest() {
        let input = io::repeat(b'x').take(40 * 1024 * 1024).chain(&b"\nshort\nlast"[..]);
        let mut input = BufReader::new(input);
        let mut line = Vec::new();
        assert_eq!(read_line(&mut input, &mut line).await.unwrap(), 40 * 1024 * 1024 + 1);
        assert!(line.capacity() <= 8 * 1024 * 1024, "{}", line.capacity());
        for (text, bytes) in [("short\n", 6), ("last", 4), ("", 0)] {
            line.clear();
            assert_eq!(read_line(&mut input, &mut line).await.unwrap(), bytes);
            assert_eq!(line, text.as_bytes());
        }
    }
}
