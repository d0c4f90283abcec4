use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use streamherd::DeadLetterReason;
use streamherd_dashboard::{ConsumerCounts, Point};

use super::*;
use crate::top::action::{Action, Whom};
use crate::top::rows::*;
use crate::top::update::{Event, Key, Page, update};

/// The lines of a frame, without blanks at their ends.
fn frame(model: &Model) -> Vec<String> {
    let (columns, rows) = model.size;
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(model, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..columns).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..rows).map(|y| line(y).trim_end().to_owned()).collect()
}

#[track_caller]
fn assert_has(model: &Model, texts: &[&str]) {
    let lines = frame(model);
    for text in texts {
        assert!(
            lines.iter().any(|line| line.contains(text)),
            "no {text:?} in\n{}",
            lines.join("\n")
        );
    }
}

fn press(model: &mut Model, keys: &str) {
    keys.chars().for_each(|c| {
        drop(update(
            model,
            Event::Key(if c == '\n' { Key::Enter } else { Key::Char(c) }),
        ))
    });
}

/// A busy service, with names that would steer a terminal.
fn busy(size: (u16, u16)) -> Model {
    let mut counts = ConsumerCounts::default();
    (counts.alive, counts.silent, counts.capacity, counts.held, counts.free) = (2, 1, 16, 5, 11);
    let mut point = Point::default();
    (point.queued, point.rates.done) = (7, Some(2.5));
    let consumer = |n: usize| ConsumerRow {
        consumer: format!("a-deployment-with-a-long-name-{n}.k3f9x2m{n}"),
        state: if n == 2 { "silent" } else { "alive" },
        paused: n == 1,
        pending: 3,
        rate: Some(1.25),
        about: Some(About {
            host: "node-1\u{1b}[2J".to_owned(),
            pid: 77,
            version: "0.1.0".to_owned(),
            capacity: 8,
            held: 3,
            lock_ttl_ms: 6_000,
            seen_ms: 1_200,
            up_ms: 60_000,
            totals: vec![("done", 9)],
        }),
    };
    let mut picture = Picture {
        known: true,
        used: true,
        queued: 12,
        requeued: 3,
        oldest_ms: Some(190_000),
        pending: 5,
        delayed: 2,
        delayed_next_ms: Some(5_000),
        dead_letters: 1,
        counts,
        pauses: vec![("a-deployment-with-a-long-name-1".to_owned(), 5_000)],
        consumers: (0..3).map(consumer).collect(),
        partitions: vec![PartitionRow {
            number: 0,
            server: Some("127.0.0.1:6379".to_owned()),
            answered: true,
            queued: 12,
            ..PartitionRow::default()
        }],
        masters: vec![MasterRow {
            server: "127.0.0.1:6379".to_owned(),
            answered: true,
            breaker: "closed",
            for_ms: 65_000,
            partitions: vec![0],
            last_error: None,
        }],
        health: Some(HealthRow::default()),
        history: vec![Some(point); 100],
        ..Picture::default()
    };
    picture.rates.done = Some(2.5);
    Model {
        service: "orders".to_owned(),
        interval: Duration::from_secs(2),
        size,
        picture,
        ..Model::default()
    }
}

fn with_rows(size: (u16, u16)) -> Model {
    let mut model = busy(size);
    let lease = |n: u32| LeaseRow {
        id: format!("{n}-0"),
        stream: Some(
            [
                "user-1",
                "a\u{1b}[2J\u{202e}b",
                "日本語の名前がとても長いのでここで切られる",
                "e\u{301}\u{301}\u{301}",
                "\u{5e9}\u{5dc}\u{5d5}\u{5dd} 12",
            ][n as usize]
                .to_owned(),
        ),
        consumer: "a-deployment-with-a-long-name-1.k3f9x2m1".to_owned(),
        orphan: n == 1,
        pending_ms: 61_000,
        age_ms: 7_500_000,
        attempt: 1,
        progress: (n == 0).then(|| ProgressRow {
            value: Some(0.42),
            text: Some("42 of 100 files".to_owned()),
            age_ms: 10,
        }),
        ..LeaseRow::default()
    };
    let letter = LetterRow {
        id: "0/5-0".parse().unwrap(),
        stream: Some("broken-1".to_owned()),
        reason: Some(DeadLetterReason::MaxFailures),
        error: Some("exit code 3\nFORGED".to_owned()),
        consumer: None,
        failures: 5,
        abandonments: 0,
        redriven: 1,
        age_ms: 1_000,
        bytes: 100,
    };
    model
        .leases
        .show((0..5).map(lease).collect(), Some("next".to_owned()), Duration::ZERO);
    model.letters.show(vec![letter], None, Duration::ZERO);
    let delayed = DelayedRow {
        id: "9-0".to_owned(),
        stream: Some("later".to_owned()),
        due_ms: 90_000,
        ..DelayedRow::default()
    };
    model.delayed.show(vec![delayed], None, Duration::ZERO);
    model
}

#[test]
fn the_overview_says_it_all_in_80_by_24() {
    let model = busy((80, 24));
    assert_has(
        &model,
        &[
            "streamherd top · orders",
            "live, seen now",
            " WARNING  1 consumer is silent",
            "queued (lag)           15  3 re-queued",
            "oldest waiting     3m 10s",
            "pending                 5  11 of 16 slots free",
            "delayed                 2  next in 5s",
            "dead letters            1",
            "done/s                2.5",
            "last 8m 20s",
            "consumers       2 alive hold 5 of 16, 1 silent",
            "paused          a-deployment-with-a-long-name-1",
            "server          127.0.0.1:6379 answers, breaker closed for 1m 5s",
            " q leave  ? help",
        ],
    );
    assert!(
        frame(&model)
            .iter()
            .any(|line| line.contains("queued (lag)") && line.ends_with('█'))
    );
}

#[test]
fn every_view_has_its_lines_in_80_by_24() {
    let mut model = with_rows((80, 24));
    press(&mut model, "2");
    assert_has(
        &model,
        &["silent", "alive paused", "k3f9x2m0", "…", "1.2", "3 consumers"],
    );
    press(&mut model, "3");
    assert_has(
        &model,
        &[
            "▸ user-1",
            "42% 42 of 100",
            "orphan",
            "…",
            "k3f9x2m1",
            "2h 5m",
            "page 1, PgDn: more",
        ],
    );
    press(&mut model, "4");
    assert_has(&model, &["later", "in 1m 30s"]);
    press(&mut model, "5");
    assert_has(&model, &["broken-1", "max_failures", "exit code 3\\nFORGED", "1s"]);
    press(&mut model, "6");
    assert_has(&model, &["127.0.0.1:6379", "answers", "12"]);
}

#[test]
fn no_size_breaks_a_line_or_a_name_leaves_its_own() {
    for size in [(80, 24), (40, 20), (36, 10), (200, 60), (35, 10), (1, 1), (20, 3)] {
        let mut model = with_rows(size);
        let ask = Action::Pause {
            pause: true,
            whom: Whom::Consumer("x\u{1b}".repeat(300)),
        };
        for view in "123456".chars() {
            for over in [
                None,
                Some(Over::Help),
                Some(Over::Ask(ask.clone())),
                Some(Over::Told(Err("y".repeat(2_000)))),
                Some(Over::Prompt("名".repeat(90))),
            ] {
                press(&mut model, &view.to_string());
                model.over = over;
                let lines = frame(&model);
                for line in &lines {
                    assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
                    assert!(!line.starts_with("FORGED"), "{line:?}");
                }
                if size.0 >= 36 && matches!(model.over, Some(Over::Ask(_))) {
                    assert!(
                        lines.iter().any(|line| line.contains("y: yes")),
                        "{size:?}\n{}",
                        lines.join("\n")
                    );
                }
                model.over = None;
            }
            press(&mut model, "\n");
            frame(&model);
            model.over = None;
        }
    }
}

#[test]
fn a_phone_s_width_keeps_what_matters() {
    let mut model = with_rows((40, 20));
    assert_has(
        &model,
        &[
            "orders",
            "live, seen now",
            "WARNING",
            "queued (lag)",
            "15",
            "1 Overview",
            "q leave",
        ],
    );
    press(&mut model, "3");
    assert_has(&model, &["user-1", "leased", "orphan", "42%", "3 Leases"]);
    press(&mut model, "5");
    assert_has(&model, &["broken-1", "max_fail", "5 Dead letters"]);
    press(&mut model, "r");
    assert_has(
        &model,
        &["Redrive the dead letter of", "“broken-1”?", "y: yes, do it   n: no"],
    );
}

#[test]
fn a_terminal_that_is_too_small_is_told_so() {
    let lines = frame(&busy((30, 8)));
    assert!(lines[0].starts_with("30×8 is too small"), "{lines:?}");
    assert_eq!(lines.join(" ").matches("q leaves").count(), 1);
}

#[test]
fn while_redis_is_away_the_last_picture_stays_with_its_age_and_the_reason() {
    let mut model = busy((80, 24));
    model.now = Duration::from_secs(75);
    model.picture.error = Some("connection refused\u{1b}[2J".to_owned());
    assert_has(
        &model,
        &[
            "STALE, seen 1m 15s ago",
            "FAILURE",
            "Redis does not answer; what you see is 1m 15s old",
            "Redis does not answer: connection refused\\u{1b}[2J",
            "queued (lag)           15",
        ],
    );
    let mut model = with_rows((80, 24));
    press(&mut model, "3");
    model.now = Duration::from_secs(9);
    let serial = model.asked.unwrap();
    update(&mut model, Event::Loaded(serial, Err("no route".to_owned())));
    assert_has(&model, &["9s old: no route", "user-1"]);
    let fresh = Model {
        size: (80, 24),
        ..Model::default()
    };
    assert_has(&fresh, &["asking …", "Redis is being asked"]);
}

#[test]
fn without_colours_all_is_said_in_words_and_no_cell_has_one() {
    let mut model = with_rows((80, 24));
    model.plain = true;
    for view in "123456".chars() {
        press(&mut model, &view.to_string());
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(&model, frame)).unwrap();
        let coloured = terminal
            .backend()
            .buffer()
            .content()
            .iter()
            .filter(|cell| cell.fg != ratatui::style::Color::Reset || cell.bg != ratatui::style::Color::Reset);
        assert_eq!(coloured.count(), 0, "view {view}");
    }
}

#[test]
fn read_only_offers_no_action() {
    let mut model = with_rows((80, 24));
    model.read_only = true;
    for view in "12345".chars() {
        press(&mut model, &view.to_string());
        let lines = frame(&model);
        assert!(lines[0].contains("read-only"), "{lines:?}");
        let keys = &lines[23];
        for word in ["redrive", "queue again", "pause"] {
            assert!(!keys.contains(word), "{keys}");
        }
    }
    press(&mut model, "?");
    let lines = frame(&model).join("\n");
    assert!(
        lines.contains("no key changes anything") && !lines.contains("redrive the marked"),
        "{lines}"
    );
}

#[test]
fn an_empty_page_with_more_behind_says_so() {
    let mut model = busy((80, 24));
    press(&mut model, "3f");
    let serial = model.asked.unwrap();
    update(
        &mut model,
        Event::Loaded(serial, Ok(Page::Leases(Vec::new(), Some("x".to_owned())))),
    );
    assert_has(&model, &["orphans only", "PgDn looks further"]);
    let serial = {
        let again = Event::Sampled(Box::new(model.picture.clone()));
        update(&mut model, again);
        model.asked.unwrap()
    };
    update(&mut model, Event::Loaded(serial, Ok(Page::Leases(Vec::new(), None))));
    assert_has(&model, &["No orphans"]);
}

#[test]
fn help_has_all_keys_in_80_by_24() {
    let mut model = busy((80, 24));
    press(&mut model, "?");
    assert_has(
        &model,
        &[
            "1 to 6, Tab",
            "redrive the marked dead letter",
            "Ctrl-C always leaves",
            "any key close",
        ],
    );
}
