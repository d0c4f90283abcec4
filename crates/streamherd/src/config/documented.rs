//! The table of settings in docs/OPERATIONS.md, beside what is checked.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Raw, Settings};

const PAGE: &str = include_str!("../../../../docs/OPERATIONS.md");

/// A row: default, least and most, as they are written.
type Row = [&'static str; 3];

fn rows() -> BTreeMap<&'static str, Row> {
    let (_, table) = PAGE.split_once("<!-- timing settings -->").unwrap();
    let (table, _) = table.split_once("<!-- end of timing settings -->").unwrap();
    let lines = table.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].split('`').nth(1).unwrap(), [cells[1], cells[2], cells[3]])
        })
        .collect()
}

/// `600 ms`, `7 days`, `lock_ttl ÷ 3`, `lock_ttl + 500 ms`; what follows a `;` says what zero means.
fn span(cell: &str) -> Duration {
    let cell = cell.split(';').next().unwrap().trim();
    let ttl = Raw::new(String::new()).lock_ttl;
    if let Some(rest) = cell.strip_prefix("`lock_ttl`") {
        return match rest.trim().split_once(' ').unwrap() {
            ("÷", by) => ttl / by.parse().unwrap(),
            (_, plus) => ttl + span(plus),
        };
    }
    let (number, unit) = cell.split_once(' ').unwrap_or_else(|| panic!("{cell}"));
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "hour" => 3_600_000,
        "day" | "days" => 24 * 3_600_000,
        _ => panic!("{cell}"),
    };
    Duration::from_millis(number.parse::<u64>().unwrap() * unit)
}

fn passes(change: impl FnOnce(&mut Raw)) -> bool {
    let mut raw = Raw::new("orders".to_owned());
    change(&mut raw);
    Settings::check(raw, || "host".to_owned()).is_ok()
}

#[test]
fn the_table_of_settings_has_the_defaults_and_bounds_that_are_checked() {
    let mut rows = rows();
    let default = Raw::new(String::new());
    let checked = Settings::check(Raw::new("orders".to_owned()), || "host".to_owned()).unwrap();

    let mut spans = |name: &str, is: Duration, set: fn(&mut Raw, Duration)| {
        let [wanted, least, most] = rows.remove(name).unwrap_or_else(|| panic!("no row of {name}"));
        let (least, most) = (span(least), span(most));
        let one = Duration::from_millis(1);
        assert_eq!(span(wanted), is, "{name}");
        for (value, is_right) in [(least, true), (least - one, false), (most, true), (most + one, false)] {
            // Zero turns some off.
            if !value.is_zero() {
                assert_eq!(passes(|raw| set(raw, value)), is_right, "{name}: {value:?}");
            }
        }
    };
    spans("lock_ttl", default.lock_ttl, |raw, value| raw.lock_ttl = value);
    spans("heartbeat", checked.heartbeat, |raw, value| raw.heartbeat = Some(value));
    spans("command_timeout", default.command_timeout, |raw, value| {
        raw.command_timeout = value
    });
    spans("recovery.min_idle", checked.min_idle, |raw, value| {
        raw.recovery.min_idle = Some(value)
    });
    spans(
        "recovery.scan_interval",
        default.recovery.scan_interval,
        |raw, value| {
            raw.recovery.scan_interval = value;
        },
    );
    spans(
        "recovery.sweep_interval",
        default.recovery.sweep_interval,
        |raw, value| {
            raw.recovery.sweep_interval = value;
        },
    );
    spans("recovery.reap_after", default.recovery.reap_after, |raw, value| {
        raw.recovery.reap_after = value
    });
    spans("read_block", default.read_block, |raw, value| raw.read_block = value);
    spans("health_interval", default.health_interval, |raw, value| {
        raw.health_interval = value
    });

    let mut numbers = |name: &str, is: usize, set: fn(&mut Raw, usize)| {
        let row = rows.remove(name).unwrap_or_else(|| panic!("no row of {name}"));
        let [wanted, least, most] = row.map(|cell| cell.replace(',', "").parse::<usize>().unwrap());
        assert_eq!(wanted, is, "{name}");
        for (value, is_right) in [(least, true), (least - 1, false), (most, true), (most + 1, false)] {
            assert_eq!(passes(|raw| set(raw, value)), is_right, "{name}: {value}");
        }
    };
    numbers("recovery.batch", default.recovery.batch, |raw, value| {
        raw.recovery.batch = value
    });
    numbers("max_in_flight", default.max_in_flight, |raw, value| {
        raw.max_in_flight = value
    });
    numbers("read_batch", default.read_batch, |raw, value| raw.read_batch = value);

    // Without bounds, or with two values.
    let recovery = &default.recovery;
    for (name, is) in [
        ("recovery.max_failures", recovery.max_failures.to_string()),
        ("recovery.max_abandonments", recovery.max_abandonments.to_string()),
        ("recovery.dlq_max_len", recovery.dlq_max_len.to_string()),
        ("recovery.jitter", recovery.jitter.to_string()),
    ] {
        assert_eq!(rows.remove(name).unwrap()[0].replace(',', ""), is, "{name}");
    }
    assert_eq!(
        span(rows.remove("recovery.forgive_after").unwrap()[0]),
        recovery.forgive_after
    );
    let (first, longest) = rows.remove("reconnect").unwrap()[0].split_once(" to ").unwrap();
    assert_eq!((span(first), span(longest)), default.reconnect);
    assert!(rows.is_empty(), "not compared: {rows:?}");
}
