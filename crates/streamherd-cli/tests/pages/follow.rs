//! A page, followed from its top to its end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::process::Signal;
use streamherd_testkit::eventually_blocking;

use crate::exceptions::{NEEDS, not_run};
use crate::markdown::Snippet;
use crate::reader::{DEADLINE, Reader, Running};
use crate::shell::{self, Line};

/// Stands for a dead letter that the reader has seen.
const LETTER: &str = "1795206880640-0";

pub(crate) fn page(snippets: &[Snippet]) {
    let mut reader = Reader::start();
    let mut workers = Vec::new();
    for snippet in snippets {
        if snippet.is_block_of("sh") && shell::is_file(snippet) {
            reader.save(&snippet.text);
        }
        for line in shell::commands(snippet) {
            if line.demo().is_none() && not_run(&line).is_none() {
                println!("{}: {}", line.at, line.text);
                if leaves_go(&line) {
                    // The page has the workers of that layout stopped meanwhile.
                    let is_go = |(place, _): &mut (Vec<String>, Running)| place.iter().any(|word| word == "go");
                    for (place, worker) in workers.extract_if(.., is_go) {
                        end(&reader, &place, worker);
                    }
                }
                follow(&mut reader, &line, &mut workers);
            }
        }
    }
    for (place, worker) in workers {
        end(&reader, &place, worker);
    }
}

fn leaves_go(line: &Line) -> bool {
    let args = line.subcommand().unwrap_or_default();
    args.first().is_some_and(|task| task == "migrate") && !args.contains(&"--dry-run".to_owned())
}

/// When what the page had submitted is done by its worker.
fn end(reader: &Reader, place: &[String], worker: Running) {
    eventually_blocking(DEADLINE, "nothing waits any more", || {
        let status = reader.status(place);
        let is_over = ["queued", "requeued", "pending"].iter().all(|state| status[state] == 0);
        is_over.then_some(())
    });
    worker.end(Signal::TERM);
}

pub(crate) fn demo(line: &str) {
    let mut reader = Reader::start();
    let (code, said) = reader.run(line);
    assert_eq!(code, Some(0), "{line}: {said}");
    assert!(said.contains("lost          0"), "{line}: {said}");
}

fn follow(reader: &mut Reader, line: &Line, workers: &mut Vec<(Vec<String>, Running)>) {
    let place = place(line);
    let service = service(line);
    match line.subcommand().as_ref().map(|args| args[0].as_str()) {
        Some("worker") => {
            let before = reader.alive(&place);
            let mut worker = reader.begin(&line.text);
            eventually_blocking(DEADLINE, "the worker is registered", || {
                let said = worker.said();
                assert!(worker.runs(), "{}: {said}", line.at);
                (reader.alive(&place) > before).then_some(())
            });
            workers.push((place, worker));
        }
        Some("serve") => {
            let mut serving = reader.begin(&line.text);
            let said = serving.wait_until("its address", |said| address(said).is_some());
            let answer = get(address(&said).unwrap(), "/");
            assert!(answer.starts_with("HTTP/1.1 200"), "{}: {answer}", line.at);
            serving.end(Signal::TERM);
        }
        Some("top") => top(reader, line, &service),
        Some("bench") => {
            // The whole of it takes an hour.
            let (code, said) = reader.run("streamherd bench w1 --n 200 --runs 1");
            assert_eq!(code, Some(0), "{}: {said}", line.at);
        }
        subcommand => {
            let text = given(reader, line, subcommand.unwrap_or_default(), &service);
            let (code, said) = reader.run(&text);
            let lacks = NEEDS
                .iter()
                .any(|(word, version)| line.text.contains(word) && reader.server.version() < (version.0, version.1, 0));
            assert_eq!(code, Some(i32::from(lacks)), "{}: {text}: {said}", line.at);
        }
    }
}

/// The options that say which service is meant.
pub(crate) fn place(line: &Line) -> Vec<String> {
    let words = line.words();
    let pairs = words.windows(2).filter(|pair| pair[0] == "--layout");
    let layout = pairs.flatten().cloned();
    ["--service".to_owned(), service(line)]
        .into_iter()
        .chain(layout)
        .collect()
}

fn service(line: &Line) -> String {
    let words = line.words();
    let named = words.iter().skip_while(|word| *word != "--service").nth(1);
    named.map_or("orders", String::as_str).to_owned()
}

/// What the reader has, as they would not read here otherwise: dead letters, a stream to be queued again.
fn given(reader: &mut Reader, line: &Line, subcommand: &str, service: &str) -> String {
    match subcommand {
        "dlq" => {
            for reason in ["max_failures", "max_abandonments", "rejected", "unparseable"] {
                bury(reader, service, reason);
            }
            let letters = reader
                .server
                .client()
                .call(&["XREVRANGE", &dlq(service), "+", "-", "COUNT", "1"]);
            let id = letters.array()[0].array()[0].text();
            line.text.replace(LETTER, &id)
        }
        "requeue" => {
            for name in line.subcommand().unwrap()[1..]
                .iter()
                .filter(|word| !word.starts_with('-'))
            {
                let submit = format!("streamherd --service {service} submit {name} --delay 1h");
                let (code, said) = reader.run(&submit);
                assert_eq!(code, Some(0), "{said}");
            }
            line.text.clone()
        }
        _ => {
            if line.text.contains("old-stream") {
                let create = ["XGROUP", "CREATE", "old-stream", "old-group", "0", "MKSTREAM"];
                reader.server.client().call(&create).ok();
            }
            line.text.clone()
        }
    }
}

fn dlq(service: &str) -> String {
    format!("{{{service}:0}}:dlq")
}

fn bury(reader: &Reader, service: &str, reason: &str) {
    let mut redis = reader.server.client();
    let name = format!("{reason}-{}", redis.call(&["XLEN", &dlq(service)]).int());
    let input = format!("{{\"DataStreamName\":\"{name}\",\"Info\":{{\"plan\":\"pro\"}}}}");
    let fields = [
        ("lbs-input", &*input),
        ("_retry_count", "5"),
        ("_sh_failures", "5"),
        ("_sh_origin", "5-1"),
        ("_sh_first_seen", "5"),
        ("_sh_reason", reason),
        ("_sh_error", "no"),
        ("_sh_consumer", "pod-7.k3f9x2m1"),
        ("_sh_last_id", "6-1"),
        ("_sh_at", "7"),
    ];
    let key = dlq(service);
    let mut words = vec!["XADD", &key, "*"];
    words.extend(fields.iter().flat_map(|(name, value)| [*name, *value]));
    redis.call(&words).ok();
}

/// Of a URL that is told up to its path, as what is said may be read half-way.
pub(crate) fn address(said: &str) -> Option<&str> {
    let (_, url) = said.split_once("http://")?;
    url.split_once('/').map(|(address, _)| address)
}

pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

/// In a terminal, until the service is on its screen; then `q`.
fn top(reader: &Reader, line: &Line, service: &str) {
    let size = PtySize {
        rows: 24,
        cols: 80,
        ..PtySize::default()
    };
    let pair = native_pty_system().openpty(size).unwrap();
    let told = reader.command("bash");
    let mut command = CommandBuilder::new("bash");
    command.args(["-c", &line.text]);
    command.cwd(told.get_current_dir().unwrap());
    for (name, value) in told.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        }
    }
    command.env("TERM", "xterm-256color");
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let screen = Arc::new(Mutex::new(vt100::Parser::default()));
    let mut output = pair.master.try_clone_reader().unwrap();
    let to = Arc::clone(&screen);
    thread::spawn(move || {
        let mut bytes = [0; 4_096];
        while let Ok(n @ 1..) = output.read(&mut bytes) {
            to.lock().unwrap().process(&bytes[..n]);
        }
    });
    eventually_blocking(DEADLINE, "the service is on the screen", || {
        let text = screen.lock().unwrap().screen().contents();
        text.contains(service).then_some(())
    });
    pair.master.take_writer().unwrap().write_all(b"q").unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{}: {status:?}", line.at);
}
