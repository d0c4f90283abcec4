//! The views that are pages of rows.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::put;
use super::style::Look;
use super::table::{Cells, Column, Kind, column, table};
use crate::human::span;
use crate::top::facts::{due, progress, reason};
use crate::top::list::List;
use crate::top::model::Model;
use crate::top::rows::{LeaseRow, Row};
use crate::top::text::{cut, kept_in_place, shown, wrap};

use Kind::{Id, Number, Text};

/// Longer names are cut before they are measured: rows may be many, and names a kilobyte long.
const MOST: usize = 120;

pub(super) fn name(text: Option<&str>) -> String {
    text.map_or_else(|| "?".to_owned(), |text| cut(&shown(text), MOST))
}

/// A line over the list, and the list below; without rows what that means.
pub(super) struct Listed<'a> {
    pub(super) told: String,
    pub(super) columns: &'a [Column],
    pub(super) rows: Vec<Cells>,
    pub(super) marked: usize,
    pub(super) nothing: &'a str,
}

impl Listed<'_> {
    pub(super) fn draw(&self, look: Look, area: Rect, frame: &mut Frame<'_>) {
        let room = usize::from(area.width).saturating_sub(2);
        let told = kept_in_place(&cut(&self.told, room));
        put(frame, area, 0, Line::styled(format!(" {told}"), look.quiet()));
        let below = Rect::new(area.x, area.y + 1, area.width, area.height.saturating_sub(1));
        if !self.rows.is_empty() {
            return table(self.columns, &self.rows, Some(self.marked), look, below, frame);
        }
        for (at, text) in (1..below.height).zip(wrap(self.nothing, room)) {
            put(frame, below, at, Line::raw(format!(" {text}")));
        }
    }
}

/// Where in the pages, how old, and what went wrong.
fn about<R: Row>(model: &Model, list: &List<R>, what: &str) -> String {
    let mut told = format!("page {}", list.page());
    if list.has_next() {
        told.push_str(", PgDn: more");
    }
    if !what.is_empty() {
        told = format!("{told} · {what}");
    }
    match (&list.error, list.seen) {
        (Some(error), Some(seen)) => {
            let age = span(model.now.saturating_sub(seen).as_secs() * 1_000);
            format!("{age} old: {} · {told}", shown(error))
        }
        (Some(error), None) => shown(error),
        (None, None) => format!("{told} · asking …"),
        (None, Some(_)) => told,
    }
}

/// What an empty page means.
fn empty<R: Row>(list: &List<R>, none: &str) -> String {
    match (list.seen, list.has_next()) {
        (None, _) if list.error.is_some() => "Nothing was seen yet.".to_owned(),
        (None, _) => String::new(),
        (Some(_), true) => "None among those looked at so far; PgDn looks further.".to_owned(),
        (Some(_), false) => none.to_owned(),
    }
}

/// Adds whose rows are looked for.
fn add_filter(what: &mut String, of: &str) {
    if !of.is_empty() {
        let and = if what.is_empty() { "" } else { ", " };
        what.push_str(&format!("{and}of {} (/ to change)", shown(of)));
    }
}

pub(super) fn leases(model: &Model, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let columns = [
        column("stream", Text, 12, 0),
        column("state", Text, 6, 1),
        column("owner", Id, 12, 3),
        column("age", Number, 7, 4),
        column("att", Number, 3, 5),
        column("progress", Text, 8, 2),
        // Only where the others have room enough.
        column("held", Number, if area.width < 110 { 255 } else { 7 }, 6),
    ];
    let row = |row: &LeaseRow| Cells {
        cells: vec![
            name(row.stream.as_deref()),
            if row.orphan { "orphan" } else { "leased" }.to_owned(),
            name(Some(&row.consumer)),
            span(row.age_ms),
            row.attempt.saturating_add(1).to_string(),
            row.progress
                .as_ref()
                .map(|one| cut(&progress(one), MOST))
                .unwrap_or_default(),
            span(row.pending_ms),
        ],
        style: if row.orphan { look.warning() } else { Style::new() },
    };
    let filters = &model.filters;
    let mut what = if filters.orphans { "orphans only (f: all)" } else { "" }.to_owned();
    add_filter(&mut what, &filters.owner);
    let none = match (filters.orphans, filters.owner.is_empty()) {
        (true, _) => "No orphans: whatever is pending has a living owner.",
        (false, true) => "Nothing is pending at a consumer.",
        (false, false) => "Nothing is pending at that consumer.",
    };
    let leases = &model.leases;
    let rows = leases.rows.iter().map(row).collect();
    Listed {
        told: about(model, leases, &what),
        columns: &columns,
        rows,
        marked: leases.marked,
        nothing: &empty(leases, none),
    }
    .draw(look, area, frame);
}

pub(super) fn delayed(model: &Model, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let columns = [
        column("stream", Text, 12, 0),
        column("due", Text, 8, 1),
        column("attempt", Number, 7, 2),
        column("failed", Number, 6, 3),
        column("abandoned", Number, 9, 4),
        column("id", Id, 15, 5),
    ];
    let delayed = &model.delayed;
    let rows = delayed.rows.iter().map(|row| Cells {
        cells: vec![
            name(row.stream.as_deref()),
            due(row.due_ms),
            row.attempt.saturating_add(1).to_string(),
            row.failures.to_string(),
            row.abandonments.to_string(),
            name(Some(&row.id)),
        ],
        style: Style::new(),
    });
    let none = empty(delayed, "Nothing waits for a retry's delay or a schedule.");
    Listed {
        told: about(model, delayed, ""),
        columns: &columns,
        rows: rows.collect(),
        marked: delayed.marked,
        nothing: &none,
    }
    .draw(look, area, frame);
}

pub(super) fn letters(model: &Model, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let columns = [
        column("stream", Text, 12, 0),
        column("reason", Text, 8, 1),
        column("age", Number, 6, 3),
        column("failed", Number, 6, 4),
        column("aband.", Number, 6, 5),
        column("error", Text, 12, 2),
        column("redriven", Number, if area.width < 110 { 255 } else { 8 }, 6),
    ];
    let letters = &model.letters;
    let rows = letters.rows.iter().map(|row| Cells {
        cells: vec![
            name(row.stream.as_deref()),
            reason(row.reason).to_owned(),
            span(row.age_ms),
            row.failures.to_string(),
            row.abandonments.to_string(),
            row.error.as_deref().map(|error| name(Some(error))).unwrap_or_default(),
            row.redriven.to_string(),
        ],
        style: Style::new(),
    });
    let filters = &model.filters;
    let mut what = filters
        .reason
        .map(|reason| format!("only {} (f: next)", reason.as_str()))
        .unwrap_or_default();
    add_filter(&mut what, &filters.stream);
    let none = if what.is_empty() {
        "No dead letters."
    } else {
        "No dead letters that match."
    };
    let told = about(model, letters, &what);
    Listed {
        told,
        columns: &columns,
        rows: rows.collect(),
        marked: letters.marked,
        nothing: &empty(letters, none),
    }
    .draw(look, area, frame);
}
