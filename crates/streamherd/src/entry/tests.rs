use proptest::prelude::*;
use serde_json::json;

use super::*;

fn id() -> EntryId {
    "1795206880640-3".parse().unwrap()
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs
        .iter()
        .map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec()))
        .collect()
}

#[test]
fn a_new_entry_reads_back_as_it_was_written() {
    let text = encode("user \"1\"\n", &json!({"plan": "pro"})).unwrap();
    let entry = Entry::parse(id(), fields(&[(INPUT_FIELD, &text)])).unwrap();
    assert_eq!(entry.name, "user \"1\"\n");
    assert_eq!(entry.info().unwrap(), r#"{"plan":"pro"}"#);
    assert_eq!((entry.attempt, entry.failures, entry.abandonments), (0, 0, 0));
    assert_eq!(entry.origin, id().id);
    assert_eq!(entry.first_seen_ms, 1_795_206_880_640);
}

#[test]
fn an_entry_of_the_go_library_is_understood() {
    let entry = Entry::parse(
        id(),
        fields(&[
            (INPUT_FIELD, r#"{"DataStreamName":"s","Info":null}"#),
            (RETRY_COUNT_FIELD, "2"),
        ]),
    )
    .unwrap();
    assert_eq!((entry.name.as_str(), entry.attempt), ("s", 2));
}

#[test]
fn unreadable_counters_count_as_zero() {
    let entry = Entry::parse(
        id(),
        fields(&[
            (INPUT_FIELD, r#"{"DataStreamName":"s"}"#),
            (RETRY_COUNT_FIELD, "many"),
            (ORIGIN_FIELD, "x"),
        ]),
    )
    .unwrap();
    assert_eq!((entry.attempt, entry.origin), (0, id().id));
}

#[test]
fn counters_are_what_they_are_in_the_scripts() {
    for (text, number) in [
        ("", 0),
        ("7", 7),
        ("007", 7),
        ("999999999", 999_999_999),
        ("+7", 0),
        ("-7", 0),
        ("1000000000", 0),
        ("0000000007", 0),
        ("4294967295", 0),
        ("7.0", 0),
        ("\u{667}", 0),
    ] {
        assert_eq!(counter(&fields(&[("c", text)]), "c"), number, "{text:?}");
    }
}

#[test]
fn poison_says_what_is_wrong() {
    let unparseable = [
        fields(&[("other", "x")]),
        fields(&[(INPUT_FIELD, "not json")]),
        fields(&[(INPUT_FIELD, r#"{"Info":1}"#)]),
        fields(&[(INPUT_FIELD, r#"{"DataStreamName":""}"#)]),
        fields(&[(INPUT_FIELD, r#"{"DataStreamName":7}"#)]),
        fields(&[(INPUT_FIELD, r#"["a","list of its values"]"#)]),
        fields(&[(INPUT_FIELD, r#"{"DataStreamName":"a","DataStreamName":"b"}"#)]),
        vec![(
            INPUT_FIELD.into(),
            b"{\"DataStreamName\":\"s\",\"unknown\":\"\xff\"}".to_vec(),
        )],
        fields(&[(INPUT_FIELD, &encode_unchecked(&"n".repeat(MAX_NAME_BYTES + 1)))]),
        vec![],
    ];
    for fields in unparseable {
        let poison = Entry::parse(id(), fields).unwrap_err();
        assert!(
            matches!(&poison, Poison::Unparseable(text) if !text.is_empty()),
            "{poison:?}"
        );
    }
    let many: Fields = (0..=MAX_FIELDS).map(|n| (n.to_string().into_bytes(), vec![])).collect();
    let big = vec![(b"x".to_vec(), vec![0; MAX_ENTRY_BYTES])];
    for fields in [many, big] {
        assert!(matches!(Entry::parse(id(), fields), Err(Poison::TooLarge(_))));
    }
}

#[test]
fn what_could_not_be_read_back_is_not_submitted() {
    assert!(matches!(encode("", &()), Err(InvalidEntry::Name(_))));
    assert!(matches!(
        encode(&"n".repeat(MAX_NAME_BYTES + 1), &()),
        Err(InvalidEntry::Name(_))
    ));
    assert!(matches!(
        encode("n", &"x".repeat(MAX_ENTRY_BYTES)),
        Err(InvalidEntry::TooLarge { .. })
    ));
}

fn encode_unchecked(name: &str) -> String {
    json!({ "DataStreamName": name }).to_string()
}

proptest! {
    #[test]
    fn any_fields_are_an_entry_or_poison(raw in proptest::collection::vec(
        (prop_oneof![Just(INPUT_FIELD.as_bytes().to_vec()), any::<Vec<u8>>()], any::<Vec<u8>>()), 0..6)) {
        let _ = Entry::parse(id(), raw);
    }

    #[test]
    fn any_name_within_the_limits_survives(name in "\\PC{1,200}") {
        let text = encode(&name, &json!([1])).unwrap();
        let entry = Entry::parse(id(), fields(&[(INPUT_FIELD, &text)])).unwrap();
        prop_assert_eq!(entry.name, name);
    }
}
