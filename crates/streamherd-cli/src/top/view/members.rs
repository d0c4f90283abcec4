//! The views of those who take part: consumers, and the servers of partitions.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::lists::{Listed, name};
use super::style::Look;
use super::table::Kind::{Id, Number, Text};
use super::table::{Cells, column};
use crate::human::span;
use crate::top::model::Model;
use crate::top::rows::ConsumerRow;
use crate::top::text::shown;
use crate::top::verdict::plural;

pub(super) fn consumers(model: &Model, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let columns = [
        column("consumer", Id, 12, 0),
        column("state", Text, 12, 1),
        column("held", Number, 4, 2),
        column("of", Number, 3, 3),
        column("seen", Number, 6, 4),
        column("done/s", Number, 6, 6),
        column("pending", Number, 7, 5),
        column("host", Text, 8, 7),
    ];
    let rows = model.consumers();
    let row = |row: &&ConsumerRow| {
        let about = row.about.as_ref();
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let paused = if row.paused { " paused" } else { "" };
        Cells {
            cells: vec![
                name(Some(&row.consumer)),
                format!("{}{paused}", row.state),
                or_none(about.map(|about| about.held.to_string())),
                or_none(about.map(|about| about.capacity.to_string())),
                or_none(about.map(|about| span(about.seen_ms))),
                or_none(row.rate.map(|rate| format!("{rate:.1}"))),
                row.pending.to_string(),
                or_none(about.map(|about| name(Some(&about.host)))),
            ],
            style: match row.state {
                "silent" => look.warning(),
                "alive" => Style::new(),
                _ => look.quiet(),
            },
        }
    };
    let all = model.picture.consumers.len();
    let filter = &model.filters.consumers;
    let told = if filter.is_empty() {
        format!("{}; seen: since the last heartbeat", plural(all as u64, "consumer"))
    } else {
        format!(
            "{} of {all} consumers with “{}” in their id (/ to change)",
            rows.len(),
            shown(filter)
        )
    };
    let nothing = if all == 0 {
        "Nobody takes part: no worker runs."
    } else {
        "None."
    };
    let nothing = if model.picture.known { nothing } else { "" };
    let cells = rows.iter().map(row).collect();
    Listed {
        told,
        columns: &columns,
        rows: cells,
        marked: model.consumer_place(),
        nothing,
    }
    .draw(look, area, frame);
}

pub(super) fn partitions(model: &Model, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let columns = [
        column("part", Number, 4, 0),
        column("server", Id, 14, 1),
        column("state", Text, 7, 2),
        column("queued", Number, 6, 3),
        column("re-q", Number, 4, 6),
        column("pending", Number, 7, 4),
        column("delayed", Number, 7, 7),
        column("dead", Number, 4, 5),
    ];
    let rows = model.picture.partitions.iter().map(|row| {
        let number = |n: u64| if row.answered { n.to_string() } else { "?".to_owned() };
        let master = model
            .picture
            .masters
            .iter()
            .find(|one| one.partitions.contains(&row.number));
        let state = match (row.answered, master) {
            (false, _) => "AWAY".to_owned(),
            (true, Some(master)) if master.breaker != "closed" => master.breaker.to_owned(),
            (true, _) => "answers".to_owned(),
        };
        Cells {
            cells: vec![
                row.number.to_string(),
                row.server
                    .as_deref()
                    .map_or_else(|| "none".to_owned(), |server| name(Some(server))),
                state,
                number(row.queued),
                number(row.requeued),
                number(row.pending),
                number(row.delayed),
                number(row.dead_letters),
            ],
            style: if row.answered { Style::new() } else { look.bad() },
        }
    });
    let parts = plural(model.picture.partitions.len() as u64, "partition");
    let told = format!("{parts} on {}", plural(model.picture.masters.len() as u64, "server"));
    Listed {
        told,
        columns: &columns,
        rows: rows.collect(),
        marked: model.partition,
        nothing: "",
    }
    .draw(look, area, frame);
}
