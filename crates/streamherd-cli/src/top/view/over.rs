//! What lies over a view: questions, outcomes, help, a row with all it has.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear};

use super::put;
use super::style::Look;
use crate::top::action::Action;
use crate::top::facts;
use crate::top::model::{Inspect, Model};
use crate::top::text::{cut, kept_in_place, wrap};

/// Wider boxes are hard to read.
const WIDEST: u16 = 70;

pub(super) fn ask(action: &Action, model: &Model, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let (title, body) = action.question(&model.service);
    let lines = [
        (title, look.title()),
        (String::new(), Style::new()),
        (body, Style::new()),
    ];
    dialog(&lines, "y: yes, do it   n: no", look, area, frame);
}

pub(super) fn acting(action: &Action, look: Look, area: Rect, frame: &mut Frame<'_>) {
    dialog(&[(action.doing().to_owned(), look.title())], "", look, area, frame);
}

pub(super) fn told(outcome: &Result<String, String>, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let (word, text, style) = match outcome {
        Ok(text) => ("Done", text, look.good()),
        Err(text) => ("Not done", text, look.bad()),
    };
    let lines = [
        (word.to_owned(), style),
        (String::new(), Style::new()),
        (text.clone(), Style::new()),
    ];
    dialog(&lines, "any key: close", look, area, frame);
}

/// A box in the middle, with its answers on the last line, which is always there.
fn dialog(texts: &[(String, Style)], answers: &str, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let columns = WIDEST.min(area.width);
    let room = usize::from(columns.saturating_sub(4));
    let mut lines: Vec<(String, Style)> = Vec::new();
    for (text, style) in texts {
        lines.extend(wrap(text, room).into_iter().map(|line| (line, *style)));
    }
    let most = usize::from(area.height.saturating_sub(4));
    if lines.len() > most {
        lines.truncate(most);
        if let Some((last, _)) = lines.last_mut() {
            *last = cut(&format!("{last} …"), room);
        }
    }
    if !answers.is_empty() {
        lines.push((String::new(), Style::new()));
        lines.push((answers.to_owned(), look.title()));
    }
    let rows = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .saturating_add(2)
        .min(area.height);
    let corner = (area.x + (area.width - columns) / 2, area.y + (area.height - rows) / 2);
    let place = Rect::new(corner.0, corner.1, columns, rows);
    frame.render_widget(Clear, place);
    frame.render_widget(Block::bordered(), place);
    let inside = Rect::new(
        place.x + 2,
        place.y + 1,
        columns.saturating_sub(4),
        rows.saturating_sub(2),
    );
    for (at, (text, style)) in (0..inside.height).zip(lines) {
        put(frame, inside, at, Line::styled(kept_in_place(&text), style));
    }
}

pub(super) fn inspect(open: &Inspect, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let room = usize::from(area.width).saturating_sub(2);
    let lines = facts::lines(open, room);
    let height = usize::from(area.height).saturating_sub(1);
    let last = lines.len().saturating_sub(height);
    let scroll = open.scroll.min(last);
    let more = if last > 0 {
        format!(
            " ({}–{} of {})",
            scroll + 1,
            (scroll + height).min(lines.len()),
            lines.len()
        )
    } else {
        String::new()
    };
    let title = cut(&open.title, room.saturating_sub(more.len()));
    put(
        frame,
        area,
        0,
        Line::styled(format!(" {}{more}", kept_in_place(&title)), look.title()),
    );
    for (at, (name, text)) in (1..area.height).zip(lines.into_iter().skip(scroll)) {
        let style = look.quiet();
        let gap = if name.is_empty() { "" } else { " " };
        let style = match name.trim_end() {
            "failure" | "warning" => look.verdict(name.trim_end()),
            _ => style,
        };
        put(
            frame,
            area,
            at,
            Line::from(vec![
                Span::raw(" "),
                Span::styled(format!("{name}{gap}"), style),
                Span::raw(kept_in_place(&text)),
            ]),
        );
    }
}

const HELP: [(&str, &str); 13] = [
    (
        "1 to 6, Tab",
        "overview, consumers, leases, delayed, dead letters, partitions",
    ),
    ("↑ ↓, k j", "mark a row; Home g, End G: the first, the last"),
    ("PgUp PgDn", "turn pages; on the last and first one mark the end"),
    ("Enter", "the marked row with all it has; overview: all that is wrong"),
    ("f", "leases: orphans only; dead letters: by reason"),
    (
        "/",
        "consumers: by a part of the id; leases: of one consumer; dead letters: of one stream",
    ),
    ("l", "of an inspected consumer: its leases"),
    ("r", "redrive the marked dead letter"),
    ("a", "queue the marked lease or delayed stream again"),
    ("p", "pause or resume the marked consumer; elsewhere the service"),
    ("y, n", "do it, or don't: nothing is changed before it was asked"),
    ("q, Esc", "close what is open, else leave; Ctrl-C always leaves"),
    ("", "`streamherd dlq` redrives and purges many dead letters"),
];

pub(super) fn help(model: &Model, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let mut help = Inspect {
        title: "Keys".to_owned(),
        ..Inspect::default()
    };
    for (key, does) in HELP {
        if !(model.read_only && matches!(key, "r" | "a" | "p" | "y, n")) {
            help.facts.push((key.to_owned(), does.to_owned()));
        }
    }
    if model.read_only {
        let told = "Started with --read-only: no key changes anything.";
        help.facts.push((String::new(), told.to_owned()));
    }
    inspect(&help, look, area, frame);
}
