//! Everything at one glance: is it fine, how fast is it, what waits.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use streamherd_dashboard::Point;

use super::put;
use super::spark::spark;
use super::style::Look;
use crate::human::span;
use crate::top::facts::due;
use crate::top::model::Model;
use crate::top::text::{cut, cut_middle, fit, fit_right, shown, width, wrap};
use crate::top::verdict::{Verdict, judge, plural};

/// Findings below the first; Enter shows all.
const FINDINGS: usize = 3;
/// A name, its number, and what else there is to say.
const NAME: usize = 15;
const NUMBER: usize = 9;
const REMARK: usize = 24;

pub(super) fn draw(model: &Model, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let columns = usize::from(area.width);
    let verdict = judge(model);
    let mut lines = headline(&verdict, look, columns);
    lines.extend(findings(&verdict, look, columns));
    if model.picture.known {
        lines.extend(numbers(model, look, columns));
        lines.extend(around(model, look, columns));
    }
    let height = usize::from(area.height);
    let more = lines.len().saturating_sub(height);
    if more > 0 {
        lines.truncate(height.saturating_sub(1));
        lines.push(Line::styled(format!(" … {} more lines: Enter", more + 1), look.quiet()));
    }
    for (at, line) in (0..area.height).zip(lines) {
        put(frame, area, at, line);
    }
}

fn headline(verdict: &Verdict, look: Look, columns: usize) -> Vec<Line<'static>> {
    let style = look.verdict(verdict.word);
    let word = format!(" {} ", verdict.word);
    let room = columns.saturating_sub(width(&word) + 2);
    let mut parts = wrap(&verdict.headline, room);
    if parts.len() > 2 {
        parts.truncate(2);
        if let Some(last) = parts.last_mut() {
            *last = cut(&format!("{last} …"), room);
        }
    }
    let line = |(at, part): (usize, String)| {
        let lead = if at == 0 {
            word.clone()
        } else {
            " ".repeat(width(&word))
        };
        let lead_style = if at == 0 {
            style.patch(look.marked())
        } else {
            Style::new()
        };
        Line::from(vec![
            Span::styled(lead, lead_style),
            Span::raw(" "),
            Span::styled(part, style),
        ])
    };
    parts.into_iter().enumerate().map(line).collect()
}

fn findings(verdict: &Verdict, look: Look, columns: usize) -> Vec<Line<'static>> {
    let rest: Vec<_> = verdict
        .findings
        .iter()
        .filter(|one| one.text != verdict.headline)
        .collect();
    let line = |word: &str, text: &str| {
        Line::from(vec![
            Span::styled(format!(" {}  ", fit(word, 7)), look.verdict(word)),
            Span::raw(cut(text, columns.saturating_sub(10))),
        ])
    };
    let mut lines: Vec<_> = rest
        .iter()
        .take(FINDINGS)
        .map(|one| line(one.bad.as_str(), &one.text))
        .collect();
    if rest.len() > FINDINGS {
        let more = format!("and {} more: Enter", rest.len() - FINDINGS);
        lines.truncate(FINDINGS - 1);
        let last = rest.get(FINDINGS - 1).map_or("", |one| one.bad.as_str());
        lines.push(line(last, &format!("{more} shows all")));
    }
    lines
}

/// One series of the history.
type Of = fn(&Point) -> Option<f64>;

fn numbers(model: &Model, look: Look, columns: usize) -> Vec<Line<'static>> {
    let picture = &model.picture;
    let step = 5 * picture.history.len() as u64;
    let (number, none) = (|n: u64| n.to_string(), String::new);
    let rate = |rate: Option<f64>| rate.map_or_else(|| "?".to_owned(), |rate| format!("{rate:.1}"));
    let waits = if picture.requeued > 0 {
        format!("{} re-queued", picture.requeued)
    } else {
        none()
    };
    let counts = picture.counts;
    let next = picture
        .delayed_next_ms
        .map(|ms| format!("next {}", due(ms)))
        .unwrap_or_default();
    let oldest = picture.oldest_ms.map_or_else(|| "-".to_owned(), span);
    let slots = if counts.capacity == 0 {
        "no consumer runs".to_owned()
    } else {
        format!("{} of {} free", counts.free, plural(counts.capacity, "slot"))
    };
    let rates = picture.rates;
    #[expect(clippy::cast_precision_loss, reason = "a picture of a few blocks")]
    let all: [(&str, String, String, Of); 10] = [
        ("queued (lag)", number(picture.waiting()), waits, |p| {
            Some((p.queued + p.requeued) as f64)
        }),
        ("oldest waiting", oldest, none(), |p| Some(p.oldest_ms as f64)),
        ("pending", number(picture.pending), slots, |p| Some(p.pending as f64)),
        ("delayed", number(picture.delayed), next, |p| Some(p.delayed as f64)),
        ("dead letters", number(picture.dead_letters), none(), |p| {
            Some(p.dead_letters as f64)
        }),
        ("queued/s", rate(rates.queued), none(), |p| p.rates.queued),
        ("done/s", rate(rates.done), none(), |p| p.rates.done),
        ("retried/s", rate(rates.retried), none(), |p| p.rates.retried),
        ("dead-lettered/s", rate(rates.dead_lettered), none(), |p| {
            p.rates.dead_lettered
        }),
        ("lost/s", rate(rates.lost), none(), |p| p.rates.lost),
    ];
    let remark = if columns >= 70 { REMARK } else { 0 };
    let room = columns.saturating_sub(NAME + NUMBER + remark + 5);
    let mut lines = vec![Line::styled(
        format!("{}last {}", " ".repeat(NAME + NUMBER + remark + 4), span(step * 1_000)),
        look.quiet(),
    )];
    if step == 0 {
        lines = vec![Line::raw("")];
    }
    for (name, number, more, of) in all {
        let points: Vec<Option<f64>> = picture
            .history
            .iter()
            .map(|point| point.as_ref().and_then(of))
            .collect();
        lines.push(Line::from(vec![
            Span::raw(format!(" {} ", fit(name, NAME))),
            Span::styled(fit_right(&number, NUMBER), look.title()),
            Span::styled(format!("  {}", fit(&more, remark)), look.quiet()),
            Span::styled(spark(&points, room), look.line()),
        ]));
    }
    lines
}

/// Who works, and on what servers.
fn around(model: &Model, look: Look, columns: usize) -> Vec<Line<'static>> {
    let (picture, counts) = (&model.picture, model.picture.counts);
    let line = |name: &str, text: String, style: Style| {
        Line::from(vec![
            Span::raw(format!(" {} ", fit(name, NAME))),
            Span::styled(cut(&text, columns.saturating_sub(NAME + 3)), style),
        ])
    };
    let mut who = format!("{} alive hold {} of {}", counts.alive, counts.held, counts.capacity);
    for (n, word) in [
        (counts.silent, "silent"),
        (counts.unregistered, "unregistered"),
        (counts.paused, "paused"),
    ] {
        if n > 0 {
            who.push_str(&format!(", {n} {word}"));
        }
    }
    let mut lines = vec![line("consumers", who, Style::new())];
    if !picture.pauses.is_empty() {
        let names: Vec<String> = picture.pauses.iter().take(20).map(|(name, _)| shown(name)).collect();
        lines.push(line("paused", names.join(", "), look.warning()));
    }
    let parts = picture.partitions.len() as u64;
    let servers = picture.masters.len() as u64;
    if parts > 1 {
        let topology = format!("{} on {}", plural(parts, "partition"), plural(servers, "server"));
        lines.push(line("topology", topology, Style::new()));
    }
    for master in &picture.masters {
        let answers = if master.answered { "answers" } else { "NO ANSWER" };
        let name = cut_middle(&shown(&master.server), 24);
        let text = format!(
            "{name} {answers}, breaker {} for {}",
            master.breaker,
            span(master.for_ms)
        );
        let style = if master.answered { Style::new() } else { look.bad() };
        lines.push(line("server", text, style));
    }
    lines
}
