//! Draws the model. Pure: it only reads.

mod lists;
mod members;
mod over;
mod overview;
mod spark;
mod style;
mod table;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use self::style::Look;
use super::model::{Model, Over, View};
use super::text::{cut, fit, kept_in_place, shown, width};
use crate::human::span;

/// A terminal that is smaller can't show what matters.
const LEAST: (u16, u16) = (36, 10);

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return too_small(area, frame);
    }
    let look = Look::new(model.plain);
    let (columns, below) = (usize::from(area.width), area.height.saturating_sub(2));
    put(frame, area, 0, header(model, look, columns));
    put(frame, area, 1, views(model, look, columns));
    let body = Rect::new(area.x, area.y + 2, area.width, below.saturating_sub(2));
    match &model.over {
        Some(Over::Inspect(open)) => over::inspect(open, look, body, frame),
        Some(Over::Help) => over::help(model, look, body, frame),
        _ => in_view(model, look, body, frame),
    }
    put(frame, area, below, below_the_view(model, look, columns));
    put(frame, area, below + 1, keys(model, look, columns));
    match &model.over {
        Some(Over::Ask(action)) => over::ask(action, model, look, body, frame),
        Some(Over::Acting(action)) => over::acting(action, look, body, frame),
        Some(Over::Told(outcome)) => over::told(outcome, look, body, frame),
        Some(Over::Help | Over::Inspect(_) | Over::Prompt(_)) | None => {}
    }
}

fn in_view(model: &Model, look: Look, body: Rect, frame: &mut Frame<'_>) {
    match model.view {
        View::Overview => overview::draw(model, look, body, frame),
        View::Consumers => members::consumers(model, look, body, frame),
        View::Leases => lists::leases(model, look, body, frame),
        View::Delayed => lists::delayed(model, look, body, frame),
        View::Letters => lists::letters(model, look, body, frame),
        View::Partitions => members::partitions(model, look, body, frame),
    }
}

fn too_small(area: Rect, frame: &mut Frame<'_>) {
    let text = format!(
        "{}×{} is too small for top; {}×{} will do. q leaves.",
        area.width, area.height, LEAST.0, LEAST.1
    );
    for (at, line) in (0..area.height).zip(super::text::wrap(&text, usize::from(area.width))) {
        put(frame, area, at, Line::raw(line));
    }
}

/// A line of an area.
fn put(frame: &mut Frame<'_>, area: Rect, at: u16, line: Line<'_>) {
    if at < area.height {
        frame.render_widget(line, Rect::new(area.x, area.y + at, area.width, 1));
    }
}

/// The service on the left, and how old all of it is on the right.
fn header(model: &Model, look: Look, columns: usize) -> Line<'static> {
    let (state, style) = freshness(model, look);
    let read_only = if model.read_only { "read-only · " } else { "" };
    let right = format!("{read_only}{state} ");
    let room = columns.saturating_sub(width(&right) + 2);
    let left = if columns >= 60 {
        format!("streamherd top · {}", shown(&model.service))
    } else {
        shown(&model.service)
    };
    Line::from(vec![
        Span::raw(" "),
        Span::styled(kept_in_place(&fit(&left, room)), look.title()),
        Span::raw(" "),
        Span::styled(right, style),
    ])
}

fn freshness(model: &Model, look: Look) -> (String, Style) {
    let age = span(u64::try_from(model.age().as_millis()).unwrap_or(u64::MAX) / 1_000 * 1_000);
    let age = if age == "0ms" {
        "now".to_owned()
    } else {
        format!("{age} ago")
    };
    if !model.picture.known {
        return match model.picture.error {
            Some(_) => ("NO ANSWER".to_owned(), look.bad()),
            None => ("asking …".to_owned(), look.quiet()),
        };
    }
    if model.is_stale() {
        return (format!("STALE, seen {age}"), look.bad());
    }
    (format!("live, seen {age}"), look.good())
}

fn views(model: &Model, look: Look, columns: usize) -> Line<'static> {
    let name = |view: &View| format!("{} {}", view.place() + 1, view.title());
    let all: usize = View::ALL.iter().map(|view| width(&name(view)) + 2).sum();
    if all > columns {
        let here = format!(" {} ", name(&model.view));
        let others = fit("  1-6 or Tab: other views", columns.saturating_sub(width(&here)));
        return Line::from(vec![
            Span::styled(here, look.marked()),
            Span::styled(others, look.quiet()),
        ]);
    }
    let one = |view: &View| {
        let style = if *view == model.view {
            look.marked()
        } else {
            Style::new()
        };
        Span::styled(format!(" {} ", name(view)), style)
    };
    Line::from(View::ALL.iter().map(one).collect::<Vec<_>>())
}

/// What was said last, or why what is shown is old.
fn below_the_view(model: &Model, look: Look, columns: usize) -> Line<'static> {
    let room = columns.saturating_sub(2);
    if let Some(Over::Prompt(text)) = &model.over {
        let what = match model.view {
            View::Consumers => "Part of a consumer's id",
            View::Leases => "Whole id of a consumer",
            _ => "Whole name of a stream",
        };
        let what = if columns >= 60 { what } else { "Find" };
        let typed = shown(text);
        // The end is where typing goes on.
        let own = room.saturating_sub(width(what) + 3);
        let mut end = typed.as_str();
        while width(end) > own {
            end = end
                .char_indices()
                .nth(1)
                .and_then(|(at, _)| end.get(at..))
                .unwrap_or_default();
        }
        return Line::from(vec![
            Span::styled(format!(" {what}: "), look.title()),
            Span::raw(kept_in_place(end)),
            Span::styled(" ", look.marked()),
        ]);
    }
    if let Some(note) = &model.note {
        return Line::styled(format!(" {}", cut(note, room)), look.title());
    }
    match &model.picture.error {
        Some(error) => Line::styled(
            format!(
                " Redis does not answer: {}",
                cut(&shown(error), room.saturating_sub(24))
            ),
            look.bad(),
        ),
        None => Line::raw(""),
    }
}

/// The keys that mean something here, as many as fit; `?` and `q` always do.
fn keys(model: &Model, look: Look, columns: usize) -> Line<'static> {
    let acts = !model.read_only;
    let mut all: Vec<(&str, &str)> = match &model.over {
        Some(Over::Prompt(_)) => vec![("Enter", "find"), ("Esc", "cancel")],
        Some(Over::Ask(_)) => vec![("y", "yes, do it"), ("n", "no")],
        Some(Over::Acting(_)) => vec![],
        Some(Over::Told(_) | Over::Help) => vec![("any key", "close")],
        Some(Over::Inspect(_)) => vec![("Esc", "close"), ("↑↓", "scroll")],
        None => vec![("q", "leave"), ("?", "help")],
    };
    let inspecting = matches!(model.over, Some(Over::Inspect(_)));
    if model.over.is_none() || inspecting {
        let marks = !inspecting && model.view != View::Overview;
        let filter = matches!(model.view, View::Leases | View::Letters) && !inspecting;
        let finds = matches!(model.view, View::Consumers | View::Leases | View::Letters) && !inspecting;
        let paged = matches!(model.view, View::Leases | View::Delayed | View::Letters) && !inspecting;
        let more = [
            (acts && model.view == View::Letters, ("r", "redrive")),
            (
                acts && matches!(model.view, View::Leases | View::Delayed),
                ("a", "queue again"),
            ),
            (acts && model.view == View::Consumers, ("p", "pause/resume")),
            (acts && model.view == View::Overview, ("p", "pause/resume service")),
            (inspecting && model.view == View::Consumers, ("l", "leases")),
            (!inspecting, ("Enter", "inspect")),
            (filter && model.view == View::Leases, ("f", "orphans")),
            (filter && model.view == View::Letters, ("f", "reason")),
            (finds, ("/", "find")),
            (paged, ("PgUp/Dn", "page")),
            (marks, ("↑↓", "mark")),
        ];
        all.extend(more.into_iter().filter(|(is, _)| *is).map(|(_, key)| key));
    }
    let mut spans = vec![Span::raw(" ")];
    let mut used = 1;
    for (key, does) in all {
        let needed = width(key) + width(does) + 3;
        if used + needed > columns {
            break;
        }
        used += needed;
        spans.push(Span::styled(key.to_owned(), look.title()));
        spans.push(Span::raw(format!(" {does}  ")));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests;
