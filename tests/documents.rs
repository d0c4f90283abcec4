//! What the documents of the metrics say, beside what is so: `docs/METRICS.md` beside a run, the dashboard and the alert rules
//! beside `docs/METRICS.md`.

#[path = "documents/document.rs"]
mod document;
#[path = "documents/emitting.rs"]
mod emitting;
#[path = "documents/expressions.rs"]
mod expressions;
#[path = "documents/files.rs"]
mod files;
#[path = "documents/losing.rs"]
mod losing;
#[path = "documents/promtool.rs"]
mod promtool;
#[path = "documents/recording.rs"]
mod recording;
#[path = "documents/working.rs"]
mod working;
