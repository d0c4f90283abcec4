use super::*;
use crate::top::action::{From, Whom};
use crate::top::rows::ConsumerRow;

fn model() -> Model {
    Model {
        service: "orders".to_owned(),
        size: (80, 24),
        interval: Duration::from_secs(2),
        picture: Picture {
            known: true,
            ..Picture::default()
        },
        ..Model::default()
    }
}

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    let key = |c| match c {
        '\n' => Key::Enter,
        '\u{1b}' => Key::Esc,
        '↓' => Key::Down,
        '»' => Key::PageDown,
        '«' => Key::PageUp,
        c => Key::Char(c),
    };
    let effects = keys.chars().map(|c| update(model, Event::Key(key(c))));
    effects.last().unwrap_or_default()
}

fn lease(stream: &str, orphan: bool) -> LeaseRow {
    LeaseRow {
        id: format!("{stream}-0"),
        stream: Some(stream.to_owned()),
        consumer: "w.1".to_owned(),
        orphan,
        ..LeaseRow::default()
    }
}

fn letter(stream: &str, ms: u64) -> LetterRow {
    LetterRow {
        id: format!("0/{ms}-0").parse().unwrap(),
        stream: Some(stream.to_owned()),
        reason: None,
        error: None,
        consumer: None,
        failures: 1,
        abandonments: 0,
        redriven: 0,
        age_ms: 1,
        bytes: 1,
    }
}

/// Answers the load that is under way.
fn answer(model: &mut Model, page: Page) {
    let serial = model.asked.unwrap();
    update(model, Event::Loaded(serial, Ok(page)));
}

fn query(effects: &[Effect]) -> &Query {
    match effects {
        [Effect::Load(_, query)] => query,
        other => panic!("no load: {other:?}"),
    }
}

#[test]
fn a_list_is_asked_for_by_the_page_that_fits_and_again_with_each_sample() {
    let mut model = model();
    let effects = press(&mut model, "3");
    let wanted = query(&effects);
    let all = What::Leases {
        orphans: false,
        owner: None,
    };
    assert_eq!((&wanted.what, &wanted.after, wanted.limit), (&all, &None, 18));
    let sample = || Event::Sampled(Box::default());
    assert_eq!(update(&mut model, sample()), [], "one question at a time");
    answer(
        &mut model,
        Page::Leases(vec![lease("a", false)], Some("0.front.5-0".to_owned())),
    );
    assert_eq!(query(&update(&mut model, sample())).after, None);
    answer(
        &mut model,
        Page::Leases(vec![lease("a", false)], Some("0.front.5-0".to_owned())),
    );
    assert_eq!(query(&press(&mut model, "»")).after.as_deref(), Some("0.front.5-0"));
    assert!(model.leases.rows.is_empty(), "nothing is marked that is not there");
    assert_eq!(query(&press(&mut model, "«")).after, None);
    assert_eq!(press(&mut model, "1"), [], "the overview is in the sample");
}

#[test]
fn an_answer_that_comes_too_late_is_left_out() {
    let mut model = model();
    press(&mut model, "3");
    let late = model.asked.unwrap();
    press(&mut model, "f");
    update(
        &mut model,
        Event::Loaded(late, Ok(Page::Leases(vec![lease("a", false)], None))),
    );
    assert!(model.leases.rows.is_empty());
    answer(&mut model, Page::Leases(vec![lease("b", true)], None));
    assert_eq!(model.leases.rows.len(), 1);
    let serial = model.asked;
    update(&mut model, Event::Sampled(Box::default()));
    let serial = model.asked.or(serial).unwrap();
    update(&mut model, Event::Loaded(serial, Err("no route".to_owned())));
    assert_eq!(
        (model.leases.rows.len(), model.leases.error.as_deref()),
        (1, Some("no route"))
    );
}

#[test]
fn nothing_is_done_before_a_yes_and_only_a_yes_is_one() {
    for no in ["n", "\u{1b}", "q", "N"] {
        let mut model = model();
        press(&mut model, "5");
        answer(&mut model, Page::Letters(vec![letter("a", 1), letter("b", 2)], None));
        assert_eq!(press(&mut model, "↓rx\n "), [], "these are no answer");
        assert!(matches!(model.over, Some(Over::Ask(_))));
        assert_eq!(press(&mut model, no), []);
        assert_eq!(
            (model.over.as_ref(), model.note.as_deref()),
            (None, Some("Nothing was changed."))
        );
        let meant = Action::Redrive {
            letter: "0/2-0".parse().unwrap(),
            stream: Some("b".to_owned()),
        };
        assert_eq!(press(&mut model, "ry"), [Effect::Act(meant)]);
        assert_eq!(press(&mut model, "ryqa"), [], "it is under way, once");
        let effects = update(&mut model, Event::Acted(Ok("Redriven.".to_owned())));
        assert!(matches!(model.over, Some(Over::Told(Ok(_)))));
        assert!(
            matches!(query(&effects).what, What::Letters { .. }),
            "it is looked at anew"
        );
        assert_eq!(press(&mut model, "q"), [], "any key closes it");
        assert_eq!(press(&mut model, "q"), [Effect::Leave]);
    }
}

#[test]
fn what_was_asked_about_is_what_is_done_whatever_the_list_shows_meanwhile() {
    let mut model = model();
    press(&mut model, "5");
    answer(&mut model, Page::Letters(vec![letter("a", 1), letter("b", 2)], None));
    let effects = press(&mut model, "\n");
    assert_eq!(effects, [Effect::Read("0/1-0".parse().unwrap())]);
    update(&mut model, Event::Sampled(Box::default()));
    answer(&mut model, Page::Letters(vec![letter("b", 2)], None));
    press(&mut model, "r");
    update(&mut model, Event::Sampled(Box::default()));
    answer(&mut model, Page::Letters(vec![], None));
    let [Effect::Act(Action::Redrive { stream, .. })] = &press(&mut model, "y")[..] else {
        panic!("{:?}", model.over)
    };
    assert_eq!(stream.as_deref(), Some("a"));
}

#[test]
fn what_is_read_of_one_letter_is_told_of_no_other() {
    let mut model = model();
    press(&mut model, "5");
    let (a, b) = (letter("a", 1), letter("b", 2));
    answer(&mut model, Page::Letters(vec![a.clone(), b.clone()], None));
    press(&mut model, "\n\u{1b}↓\n");
    let open = |model: &Model| match &model.over {
        Some(Over::Inspect(open)) => open.clone(),
        other => panic!("{other:?}"),
    };
    let before = open(&model);
    assert_eq!(before.subject, Some(Subject::Letter(b.clone())));
    let whole = Inspect {
        facts: vec![("fields".to_owned(), "all".to_owned())],
        ..Inspect::default()
    };
    for late in [Ok(None), Err("no route".to_owned()), Ok(Some(whole.clone()))] {
        update(&mut model, Event::Read(a.id, Box::new(late)));
        assert_eq!(open(&model), before);
    }
    update(&mut model, Event::Read(b.id, Box::new(Err("no route".to_owned()))));
    assert_eq!(open(&model).facts.last().unwrap().1, "not read: no route");
    update(&mut model, Event::Read(b.id, Box::new(Ok(Some(whole.clone())))));
    assert_eq!(
        (open(&model).facts, open(&model).subject),
        (whole.facts, before.subject)
    );
}

#[test]
fn a_lease_is_taken_an_orphan_and_a_delayed_stream_are_queued() {
    let asked = |model: &Model| match &model.over {
        Some(Over::Ask(Action::Requeue { from, .. })) => from.clone(),
        other => panic!("{other:?}"),
    };
    let mut model = model();
    press(&mut model, "3");
    answer(
        &mut model,
        Page::Leases(vec![lease("a", false), lease("b", true)], None),
    );
    press(&mut model, "a");
    assert_eq!(asked(&model), From::Owner("w.1".to_owned()));
    press(&mut model, "n↓a");
    assert_eq!(asked(&model), From::Orphans);
    press(&mut model, "n4");
    let row = DelayedRow {
        id: "5-0".to_owned(),
        ..DelayedRow::default()
    };
    answer(&mut model, Page::Delayed(vec![row], None));
    press(&mut model, "a");
    assert_eq!(asked(&model), From::Delayed);
    press(&mut model, "nr");
    assert!(
        model.over.is_none() && model.note.is_some(),
        "there is nothing to redrive here"
    );
}

#[test]
fn the_service_is_paused_and_resumed_and_on_its_view_the_consumer() {
    let mut model = model();
    let asked = |model: &Model| match &model.over {
        Some(Over::Ask(Action::Pause { pause, whom })) => (*pause, whom.clone()),
        other => panic!("{other:?}"),
    };
    press(&mut model, "p");
    assert_eq!(asked(&model), (true, Whom::Service));
    model.picture.paused_ms = Some(0);
    press(&mut model, "np");
    assert_eq!(asked(&model), (false, Whom::Service));
    model.picture.consumers = ["a.1", "b.2"]
        .map(|id| ConsumerRow {
            consumer: id.to_owned(),
            ..ConsumerRow::default()
        })
        .to_vec();
    press(&mut model, "n2↓p");
    assert_eq!(asked(&model), (true, Whom::Consumer("b.2".to_owned())));
    press(&mut model, "n/b\np");
    assert_eq!(
        asked(&model),
        (true, Whom::Consumer("b.2".to_owned())),
        "the first of those found"
    );
    model.picture.known = false;
    press(&mut model, "np");
    assert!(
        model.over.is_none(),
        "before Redis has answered it is not known what p would do"
    );
}

#[test]
fn read_only_takes_the_keys_away() {
    let mut model = Model {
        read_only: true,
        ..model()
    };
    press(&mut model, "5");
    answer(&mut model, Page::Letters(vec![letter("a", 1)], None));
    for keys in ["ry", "ay", "py", "\nry"] {
        let effects = press(&mut model, keys);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Act(_))), "{keys}");
    }
}

#[test]
fn lists_are_filtered_and_looked_through() {
    let mut model = model();
    press(&mut model, "3");
    let effects = press(&mut model, "f");
    assert!(matches!(query(&effects).what, What::Leases { orphans: true, .. }));
    let effects = press(&mut model, "/w.q1\n");
    assert!(
        matches!(&query(&effects).what, What::Leases { owner: Some(owner), .. } if owner == "w.q1"),
        "q is a letter here"
    );
    press(&mut model, "5");
    let mut reasons = Vec::new();
    for _ in 0..=DeadLetterReason::ALL.len() {
        let effects = press(&mut model, "f");
        let What::Letters { reason, .. } = query(&effects).what else {
            panic!()
        };
        reasons.push(reason);
    }
    let all = DeadLetterReason::ALL.iter().copied().map(Some).chain([None]);
    assert_eq!(reasons, all.collect::<Vec<_>>());
    press(&mut model, "/typed\u{1b}");
    assert_eq!(model.filters.stream, "", "Esc takes it back");
}

#[test]
fn a_consumer_leads_to_its_leases() {
    let mut model = model();
    model.picture.consumers = vec![ConsumerRow {
        consumer: "a.1".to_owned(),
        ..ConsumerRow::default()
    }];
    press(&mut model, "2\n");
    let effects = press(&mut model, "l");
    assert!(matches!(&query(&effects).what, What::Leases { owner: Some(owner), .. } if owner == "a.1"));
    assert_eq!(model.view, View::Leases);
}

#[test]
fn views_are_turned_around_the_corner_and_any_number_of_keys_breaks_nothing() {
    let mut model = model();
    update(&mut model, Event::Key(Key::BackTab));
    assert_eq!(model.view, View::Partitions);
    update(&mut model, Event::Key(Key::Tab));
    assert_eq!(model.view, View::Overview);
    for keys in ["↓»«\n↓↓»gG\u{1b}", "?x", "h\n", "//", "\u{1b}"] {
        for view in "123456".chars() {
            press(&mut model, &format!("{view}{keys}"));
            model.over = None;
        }
    }
    assert_eq!(update(&mut model, Event::Key(Key::Leave)), [Effect::Leave]);
}

#[test]
fn what_is_pasted_is_text_and_no_row_of_keys() {
    let mut model = model();
    press(&mut model, "5");
    answer(&mut model, Page::Letters(vec![letter("a", 1)], None));
    assert_eq!(update(&mut model, Event::Pasted("ry".to_owned())), []);
    assert!(model.over.is_none());
    press(&mut model, "/");
    update(&mut model, Event::Pasted("ry\n".to_owned()));
    let effects = press(&mut model, "\n");
    assert!(matches!(&query(&effects).what, What::Letters { stream: Some(stream), .. } if stream == "ry"));
}
