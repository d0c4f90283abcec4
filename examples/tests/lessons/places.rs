//! `cluster`, `tls`: lessons that bring their own servers.

use streamherd_testkit::RawClient;

use crate::lesson::{Lesson, becomes};
use crate::page::{folder, kept};
use crate::workers::ctrl_c;

#[test]
fn cluster() {
    let lesson = Lesson::of("cluster");
    let mut first = lesson.start("cargo run -p streamherd-examples --example cluster");
    let url = format!(
        "redis-cluster://127.0.0.1:{}",
        lesson.sees(&first, "redis-cluster://127.0.0.1:…")[0]
    );
    lesson.sees(&first, "127.0.0.1:… is process …");
    let place = lesson.sees(&first, "partition 0 is at 127.0.0.1:…").remove(0);
    lesson.sees(&first, "partition 5 is at 127.0.0.1:…");
    lesson.sees(&first, "order-0 is of partition …: attempt 0");
    lesson.sees(&first, "order-9 is of partition …: attempt 0");
    let mut redis = RawClient::connect(format!("127.0.0.1:{place}")).unwrap();
    assert_eq!(redis.cmd("EXISTS {cluster:0}:control").int(), 1, "it is where it says");

    let words = [("URL", url.as_str())];
    let second = lesson.start_with(
        "REDIS_URL='URL' cargo run -p streamherd-examples --example cluster",
        &[("'URL'", &format!("'{url}'"))],
    );
    second.says(
        "order-…: attempt 0"
            .replace("order-…", "order-… is of partition …")
            .as_str(),
    );
    let status = lesson.run_with(
        "cargo run -p streamherd-cli -- --url 'URL' --service cluster status",
        &words,
    );
    assert!(
        status.iter().any(|line| line.contains(&format!("127.0.0.1:{place}"))),
        "{}",
        status.join("\n")
    );

    let pid = first.says(&format!("127.0.0.1:{place} is process …")).remove(0);
    let mark = first.mark();
    lesson.kill("kill -9 PID", &pid);
    lesson.sees_after(&first, mark, "partition … is now at 127.0.0.1:…");
    first.says_after(mark, "partition 0 is now at 127.0.0.1:…");
    let mark = first.mark();
    becomes("orders of partition 0 go on", || {
        [&first, &second]
            .iter()
            .any(|one| one.has_said(mark.min(one.mark()), "order-… is of partition 0: attempt …"))
    });
    ctrl_c(&second.pid());
    ctrl_c(&first.pid());
    assert!(first.ends().0.success());
}

#[test]
fn tls() {
    let lesson = Lesson::of("tls");
    let program = "cargo run -p streamherd-examples --example tls";
    let mut worker = lesson.start(program);
    let promise =
        "REDIS_URL=rediss://127.0.0.1:… STREAMHERD_TLS_CA=… STREAMHERD_USERNAME=worker STREAMHERD_PASSWORD_FILE=…";
    let wild = lesson.sees(&worker, promise);
    let mut pieces = wild.iter();
    let settings: String = promise
        .split_inclusive('…')
        .map(|part| part.replace('…', pieces.next().map_or("", String::as_str)))
        .collect();
    lesson.sees(&worker, "parcel-1: worked on over TLS");

    let words = [("SETTINGS", settings.as_str())];
    let said = lesson.run_with(
        "env SETTINGS cargo run -p streamherd-cli -- --service orders doctor",
        &words,
    );
    lesson.sees_in(
        &said,
        "✓ rights … user worker has all rights that its role of worker can't do without",
    );

    for (command, why) in [
        (
            "env SETTINGS STREAMHERD_PASSWORD_FILE= STREAMHERD_PASSWORD=wrong cargo run -p streamherd-examples --example tls",
            "WRONGPASS",
        ),
        (
            "env SETTINGS STREAMHERD_TLS_CA= cargo run -p streamherd-examples --example tls",
            "authorit",
        ),
    ] {
        let (status, said) = lesson.start_with(command, &words).ends();
        assert!(!status.success());
        let said = said.join("\n");
        assert!(said.contains(why), "{said}");
        assert!(!said.contains("open sesame"), "{said}");
    }
    ctrl_c(&worker.pid());
    assert!(worker.ends().0.success());
}

#[test]
fn the_rights_of_the_tls_lesson_are_those_of_the_operators_guide() {
    let lesson = std::fs::read_to_string(folder().join("tls.rs")).unwrap();
    let rules = lesson
        .split_once("const RULES: &str = \"")
        .and_then(|(_, rest)| rest.split_once("\";"))
        .unwrap()
        .0;
    let ours: Vec<&str> = rules.split_whitespace().filter(|word| *word != "\\").collect();
    let guide = std::fs::read_to_string(folder().join("../docs/OPERATIONS.md")).unwrap();
    let of_a_worker = guide
        .lines()
        .filter_map(|line| line.strip_prefix("redis-cli ACL SETUSER worker "));
    // What is required, and what is useful everywhere; the third line is for clusters.
    let theirs: Vec<&str> = of_a_worker
        .take(2)
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_matches('\''))
        .filter(|word| !["reset", "on", ">PASSWORD"].contains(word))
        .collect();
    assert_eq!(ours, theirs);
    assert!(kept("~{orders:…", theirs[1]).is_some());
}
