//! Rows in columns that fit: the least important column goes first where there is no room. Pure.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::put;
use super::style::Look;
use crate::top::text::{cut_middle, fit, fit_right, kept_in_place, width};

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) head: &'static str,
    /// Cells that it needs at least to be worth showing.
    pub(super) least: usize,
    pub(super) kind: Kind,
    /// The highest number goes first where there is no room, and gets room last.
    pub(super) rank: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Whose end tells it apart.
    Id,
    Number,
}

pub(super) const fn column(head: &'static str, kind: Kind, least: usize, rank: u8) -> Column {
    Column {
        head,
        least,
        kind,
        rank,
    }
}

/// The cells of a row, one per column, already harmless; and how they look.
pub(super) struct Cells {
    pub(super) cells: Vec<String>,
    pub(super) style: Style,
}

/// How wide each column is; [`None`] is left out.
pub(super) fn layout(columns: &[Column], natural: &[usize], room: usize) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|at| columns.get(*at).map(|column| column.rank));
    let least = |at: usize| columns.get(at).map_or(0, |column| column.least.max(width(column.head)));
    let mut widths = vec![None; columns.len()];
    let mut left = room;
    for (taken, at) in order.iter().enumerate() {
        let gap = usize::from(taken > 0) * 2;
        if least(*at) + gap > left {
            break;
        }
        left -= least(*at) + gap;
        if let Some(width) = widths.get_mut(*at) {
            *width = Some(least(*at));
        }
    }
    // What is left goes around, cell by cell, so that no long name takes all of it.
    let lacks = |at: usize, width: usize| natural.get(at).is_some_and(|natural| *natural > width);
    let mut given = true;
    while left > 0 && given {
        given = false;
        for at in &order {
            if let Some(Some(width)) = widths.get_mut(*at)
                && left > 0
                && lacks(*at, *width)
            {
                *width += 1;
                left -= 1;
                given = true;
            }
        }
    }
    widths
}

/// Draws it with its head, the marked row in sight.
pub(super) fn table(
    columns: &[Column],
    rows: &[Cells],
    marked: Option<usize>,
    look: Look,
    area: Rect,
    frame: &mut Frame<'_>,
) {
    let natural: Vec<usize> = (0..columns.len())
        .map(|at| {
            rows.iter()
                .filter_map(|row| row.cells.get(at))
                .map(|cell| width(cell))
                .max()
                .unwrap_or(0)
        })
        .collect();
    // The mark has two cells.
    let room = usize::from(area.width).saturating_sub(3);
    let widths = layout(columns, &natural, room);
    let heads: Vec<String> = columns.iter().map(|column| column.head.to_owned()).collect();
    put(frame, area, 0, line(columns, &widths, &heads, "  ", look.title()));
    let height = usize::from(area.height).saturating_sub(1).max(1);
    let first = marked.map_or(0, |marked| (marked + 1).saturating_sub(height));
    for (at, (place, row)) in (1..area.height).zip(rows.iter().enumerate().skip(first)) {
        let is_marked = marked == Some(place);
        let style = if is_marked {
            row.style.patch(look.marked())
        } else {
            row.style
        };
        let mark = if is_marked { "▸ " } else { "  " };
        put(frame, area, at, line(columns, &widths, &row.cells, mark, style));
    }
}

fn line(
    columns: &[Column],
    widths: &[Option<usize>],
    cells: &[String],
    mark: &'static str,
    style: Style,
) -> Line<'static> {
    let mut spans = vec![Span::styled(mark, style)];
    for ((column, width), cell) in columns.iter().zip(widths).zip(cells) {
        let Some(width) = width else { continue };
        if spans.len() > 1 {
            spans.push(Span::styled("  ", style));
        }
        let text = match column.kind {
            Kind::Text => fit(cell, *width),
            Kind::Id => fit(&cut_middle(cell, *width), *width),
            Kind::Number => fit_right(cell, *width),
        };
        spans.push(Span::styled(kept_in_place(&text), style));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_share_the_room_and_the_least_important_goes_first() {
        let columns = [
            column("stream", Kind::Text, 8, 0),
            column("owner", Kind::Id, 8, 2),
            column("age", Kind::Number, 4, 1),
        ];
        let natural = [20, 12, 3];
        assert_eq!(layout(&columns, &natural, 80), [Some(20), Some(12), Some(4)]);
        assert_eq!(layout(&columns, &natural, 30), [Some(11), Some(11), Some(4)]);
        assert_eq!(layout(&columns, &natural, 20), [Some(14), None, Some(4)]);
        assert_eq!(layout(&columns, &natural, 10), [Some(10), None, None]);
        for room in 8..90 {
            let widths = layout(&columns, &natural, room);
            let shown = widths.iter().flatten().count();
            assert!(
                widths.iter().flatten().sum::<usize>() + 2 * shown.saturating_sub(1) <= room,
                "{room}"
            );
        }
    }
}
