//! Results on stdout, and what people are told on stderr.
//!
//! All that is printed for people goes through here, and nothing of it can steer a terminal or pretend to be a line of its
//! own: names, infos, errors and what servers say are chosen by others, so whatever a line holds is made [`printable`]
//! here, at the end, and not where somebody remembers to. JSON is for programs: there control characters are escaped by the
//! format, and all else is as it was.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

use comfy_table::{CellAlignment, ContentArrangement, presets};
use serde::Serialize;

use crate::failure::Failure;
use crate::human::printable;

/// Prints one line for people.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    print_line(&printable(text))
}

/// Nobody reading any more is no failure: `streamherd submit … | head -1` has what it wants.
fn print_line(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(e)),
        _ => Ok(()),
    }
}

/// Lines that are kept back, as a terminal shows something else.
static HELD: Mutex<Option<VecDeque<String>>> = Mutex::new(None);
/// The last so many of them.
const MOST_HELD: usize = 100;

/// Tells people something on stderr, in one line. Unlike `eprintln!` it does not panic when nobody reads.
pub(crate) fn say(text: &str) {
    let line = one_line(text);
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    match held.as_mut() {
        Some(lines) => {
            lines.push_back(line);
            if lines.len() > MOST_HELD {
                lines.pop_front();
            }
        }
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// Keeps back what would be told, where stderr is a terminal too: it would be written into what that shows.
pub(crate) fn hold() {
    if io::stderr().is_terminal() {
        *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(VecDeque::new());
    }
}

/// Tells what was kept back.
pub(crate) fn release() {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
    for line in held.into_iter().flatten() {
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// The text as exactly one line.
fn one_line(text: &str) -> String {
    format!("{}\n", printable(text.strip_suffix('\n').unwrap_or(text)))
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    print_line(&serde_json::to_string(value).map_err(Failure::failed)?)
}

/// Where log lines go: stderr, with an event to a line whatever its fields hold.
pub(crate) struct Log;

impl io::Write for Log {
    /// The subscriber formats an event and then writes all of it at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        say(&String::from_utf8_lossy(event));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A table whose columns from the second on are numbers.
pub(crate) struct Table(comfy_table::Table);

/// An empty table with these headers.
pub(crate) fn table(headers: &[&str]) -> Table {
    let mut table = comfy_table::Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headers);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    Table(table)
}

impl Table {
    /// Has the columns from this one on be text.
    pub(crate) fn text_from(&mut self, column: usize) {
        for column in self.0.column_iter_mut().skip(column) {
            column.set_cell_alignment(CellAlignment::Left);
        }
    }

    /// Made printable already here: a row is as wide as what is printed of it.
    pub(crate) fn add_row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0
            .add_row(cells.into_iter().map(|cell| printable(&cell).into_owned()));
    }
}

/// Prints a table without blanks at the ends of its lines.
pub(crate) fn print(table: &Table) -> Result<(), Failure> {
    table.0.lines().try_for_each(|text| line(text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_the_log_is_one_line() {
        let event = "2026-11-21 WARN failed error=no\n2026-11-21 WARN forged\u{1b}[2J\u{202e}\n";
        let line = "2026-11-21 WARN failed error=no\\n2026-11-21 WARN forged\\u{1b}[2J\\u{202e}\n";
        assert_eq!(one_line(event), line);
    }

    #[test]
    fn no_cell_breaks_a_table() {
        let mut rows = table(&["stream", "n"]);
        rows.add_row(["a\u{1b}[2J\nb  9\u{202e}".to_owned(), "1".to_owned()]);
        rows.add_row(["plain".to_owned(), "22".to_owned()]);
        let lines: Vec<String> = rows.0.lines().map(|line| line.trim_end().to_owned()).collect();
        let wide = "a\\u{1b}[2J\\nb  9\\u{202e}";
        let blanks = wide.len();
        assert_eq!(
            lines,
            [
                format!("{:blanks$}   n", "stream"),
                format!("{wide}   1"),
                format!("{:blanks$}  22", "plain")
            ]
        );
    }
}
