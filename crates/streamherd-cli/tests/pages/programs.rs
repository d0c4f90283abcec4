//! The programs on the pages: built in packages that need exactly what the page says, and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use rustix::process::Signal;
use streamherd_testkit::eventually_blocking;

use crate::follow::{address, get};
use crate::markdown::Snippet;
use crate::reader::{DEADLINE, Reader};
use crate::root;
use crate::shell;

/// What pages that name no dependencies are compiled with.
const DEPENDENCIES: &str = r#"
[dependencies]
axum = "0.8"
serde = { version = "1", features = ["derive"] }
serde_json = "1"
streamherd = { path = "…/crates/streamherd" }
streamherd-dashboard = { path = "…/crates/streamherd-dashboard" }
tokio = { version = "1", features = ["macros", "rt-multi-thread", "signal"] }
"#;

/// Where a part of a program stands, known by a line of it.
struct Frame {
    page: &'static str,
    has: &'static str,
    before: &'static str,
    after: &'static str,
}

const FRAMES: &[Frame] = &[
    Frame {
        page: "README.md",
        has: "SignalKind::terminate()",
        before: r#"
            use std::time::Duration;
            use streamherd::{BoxError, Client, Job, Worker};
            async fn handle(_: Job) -> Result<(), BoxError> { Ok(()) }
            #[tokio::main]
            async fn main() -> Result<(), BoxError> {
                let (client, notifications) = Client::builder("orders").connect().await?;
        "#,
        after: r#"
                println!("ready");
                worker.run(handle).await?;
                Ok(())
            }
        "#,
    },
    Frame {
        page: "README.md",
        has: "connect_producer()",
        before: "#[tokio::main] async fn main() -> Result<(), streamherd::BoxError> {",
        after: "Ok(()) }",
    },
    Frame {
        page: "docs/OPERATIONS.md",
        has: "nest_service",
        before: r#"
            #[tokio::main]
            async fn main() -> Result<(), streamherd::BoxError> {
                let (client, _notifications) = streamherd::Client::builder("orders").connect().await?;
                let client_admin = streamherd::Client::builder("orders").connect_admin().await?;
                let token = "a token of more than thirty-two characters";
        "#,
        after: r#"
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
                println!("http://{}/", listener.local_addr()?);
                axum::serve(listener, app).await?;
                Ok(())
            }
        "#,
    },
    // Of other pages: compiled beside what their parts have in common, and not run.
    Frame {
        page: "",
        has: "",
        before: r#"
            #![allow(unused)]
            use std::time::Duration;
            use streamherd::*;
            fn main() {}
            async fn part(client: Client, mut notifications: Notifications, producer: Producer, admin: Admin, lease: Lease)
                -> Result<(), BoxError> {
        "#,
        after: "Ok(()) }",
    },
];

/// Where the reader's Redis is, is told by the environment here.
fn at_home(program: &str) -> String {
    let told = r#"std::env::var("REDIS_URL").expect("REDIS_URL")"#;
    program
        .replace(r#""redis://127.0.0.1:6379""#, told)
        .replace(".connect", &format!(".url({told}).connect"))
}

fn whole(snippet: &Snippet) -> String {
    if snippet.text.contains("fn main()") {
        return at_home(&snippet.text);
    }
    let frame = FRAMES
        .iter()
        .find(|frame| (frame.page.is_empty() || frame.page == snippet.page) && snippet.text.contains(frame.has));
    let frame = frame.expect("the last fits all");
    at_home(&[frame.before, &snippet.text, frame.after].concat())
}

/// Builds those of a page; where each one is, by its line.
fn build(folder: &Path, page: &str, snippets: &[Snippet]) -> Vec<PathBuf> {
    let name = page.replace(['/', '.'], "-").to_lowercase();
    let package = folder.join(&name);
    let source = package.join("src/bin");
    let _ = fs::remove_dir_all(&source);
    fs::create_dir_all(&source).unwrap();
    let told = snippets.iter().find(|snippet| snippet.is_block_of("toml"));
    let dependencies = told.map_or(DEPENDENCIES, |snippet| &snippet.text);
    let dependencies = dependencies.replace('…', &root().display().to_string());
    // The versions are those that the tests are built with, so that nothing has to be fetched.
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2024\"\n[workspace]\n[profile.dev]\ndebug = false\nincremental = false\n\
         {dependencies}"
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root().join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let programs = snippets.iter().filter(|snippet| snippet.is_block_of("rust"));
    let names: Vec<_> = programs
        .map(|snippet| {
            let program = format!("{name}-{}", snippet.line);
            fs::write(source.join(format!("{program}.rs")), whole(snippet)).unwrap();
            program
        })
        .collect();
    // Not the tests' own, whose libraries would be built anew each time, as those of another workspace.
    let target = folder.join("target");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--bins", "--target-dir"])
        .arg(&target)
        .current_dir(&package)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{page}: {said}");
    names.iter().map(|name| target.join("debug").join(name)).collect()
}

pub(crate) fn run_all(pages: &[(String, Vec<Snippet>)]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    // Two builds in one target folder would wait for each other anyway.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    for (page, snippets) in pages {
        if snippets.iter().any(|snippet| snippet.is_block_of("rust")) {
            let programs = build(&folder, page, snippets);
            match page.as_str() {
                "README.md" => readme(&programs, snippets),
                "docs/OPERATIONS.md" => operations(&programs),
                _ => workers(&programs, snippets),
            }
        }
    }
}

/// The worker is given what the producer submits, and what the shell adds.
fn readme(programs: &[PathBuf], snippets: &[Snippet]) {
    let [worker, with_sigterm, producer] = programs else {
        panic!("others than these: {programs:?}");
    };
    let mut reader = Reader::start();
    let mut working = reader.begin(&worker.display().to_string());
    let (code, said) = reader.run(&producer.display().to_string());
    assert_eq!(code, Some(0), "{said}");
    working.wait_for("working on session-1 under token");
    let mut added = snippets
        .iter()
        .flat_map(shell::commands)
        .filter(|line| line.text.contains("XADD"));
    let (code, said) = reader.run(&added.next().unwrap().text);
    assert_eq!(code, Some(0), "{said}");
    working.wait_until("working once more", |said| {
        said.matches("working on session-1 ").count() == 2
    });
    // What was scheduled waits.
    assert_eq!(reader.status(&orders())["delayed"], 1);
    working.end(Signal::INT);

    let mut working = reader.begin(&with_sigterm.display().to_string());
    working.wait_for("ready");
    working.end(Signal::TERM);
}

fn orders() -> Vec<String> {
    ["--service", "orders"].map(str::to_owned).into()
}

/// Whole programs of other pages are workers.
fn workers(programs: &[PathBuf], snippets: &[Snippet]) {
    let parts = snippets.iter().filter(|snippet| snippet.is_block_of("rust"));
    for (program, _) in programs
        .iter()
        .zip(parts)
        .filter(|(_, part)| part.text.contains("fn main()"))
    {
        let mut reader = Reader::start();
        let working = reader.begin(&program.display().to_string());
        eventually_blocking(DEADLINE, "the worker is registered", || {
            (reader.alive(&orders()) > 0).then_some(())
        });
        working.end(Signal::INT);
    }
}

fn operations(programs: &[PathBuf]) {
    let [dashboard] = programs else {
        panic!("others than this: {programs:?}");
    };
    let mut reader = Reader::start();
    let mut serving = reader.begin(&dashboard.display().to_string());
    let said = serving.wait_until("its address", |said| address(said).is_some());
    let answer = get(address(&said).unwrap(), "/ops/herd/");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
