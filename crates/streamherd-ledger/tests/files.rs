//! Ledgers in files.

use std::fs;
use std::io::Write as _;

use streamherd_ledger::{Answer, Ledger, Target, Verdict, now, read};

#[test]
fn ledgers_of_several_files_tell_one_history() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let since = now();
    let ledger = Ledger::append_to(&one).unwrap();
    ledger.submitting("p", 1, "user-1", 3);
    ledger.submitted("p", 1, Answer::New("7-0".to_owned()), None);
    Ledger::append_to(&other)
        .unwrap()
        .fault("chaos", "stop", Target::Worker("w-1".to_owned()), since, false);
    // Opened again, it goes on where it was.
    Ledger::append_to(&one).unwrap().submitting("p", 2, "user-2", 0);

    let history = read([&one, &other]).unwrap();
    assert_eq!(history.submits.len(), 2);
    assert!(history.submits[0].acknowledged().is_some() && history.submits[1].acknowledged().is_none());
    let fault = &history.faults[0];
    assert!(fault.since.as_micros() == since.as_micros() && fault.until >= fault.since && fault.until <= now());
    assert_eq!(Verdict::on(&history).violations.len(), 1, "nobody worked on it");
}

#[test]
fn a_line_that_its_writers_death_cut_short_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    Ledger::append_to(&path).unwrap().submitting("p", 1, "user-1", 0);
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    file.write_all(br#"{"at_us":17,"by":"p","event":"subm"#).unwrap();
    assert_eq!(read([&path]).unwrap().submits.len(), 1);
}

#[test]
fn a_line_that_is_no_note_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    Ledger::append_to(&path).unwrap().submitting("p", 1, "user-1", 0);
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    file.write_all(b"{\"at_us\":17}\n").unwrap();
    let error = read([&path]).unwrap_err().to_string();
    assert!(
        error.starts_with("line 2 of the ledger") && error.ends_with("is no note"),
        "{error}"
    );
    assert!(read([dir.path().join("none")]).is_err());
}
