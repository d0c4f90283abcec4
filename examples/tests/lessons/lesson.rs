//! A page that is followed to the letter: what it says is what is run, and all that it says has been run or seen in the end.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use streamherd_testkit::{Reply, Server, eventually_blocking};
use tempfile::TempDir;

use crate::page::{Page, folder, kept};
use crate::program::{Program, SOON};

/// Stands for cargo: runs what cargo has built already.
const CARGO: &str = r#"#!/bin/sh
refuse() { echo "the tests can't do this: cargo $*" >&2; exit 99; }
[ "$1 $2" = "run -p" ] || refuse "$@"
package=$3
shift 3
while [ $# -gt 0 ]; do
    case "$1" in
        --example) example=$2; shift 2 ;;
        --features) shift 2 ;;
        --) shift; break ;;
        *) refuse "$@" ;;
    esac
done
case "$package" in
    streamherd-examples) exec "$EXAMPLES/$example" "$@" ;;
    streamherd-cli) exec "$COMMAND" "$@" ;;
    *) refuse "$package" ;;
esac
"#;

/// The page of an example, and the servers and files of a reader who follows it.
pub(crate) struct Lesson {
    page: Page,
    /// What of it was not followed yet.
    left: RefCell<Vec<String>>,
    environment: Vec<(&'static str, String)>,
    /// Programs of the reader's: `cargo`. Also a place for files.
    pub(crate) bin: TempDir,
}

impl Lesson {
    /// The example of this name.
    #[track_caller]
    pub(crate) fn of(example: &str) -> Self {
        let page = Page::read(&format!("{example}.rs"));
        is_built(example, &page.path);
        let bin = tempfile::tempdir().unwrap();
        let cargo = bin.path().join("cargo");
        fs::write(&cargo, CARGO).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            left: RefCell::new(page.commands.iter().chain(&page.promises).cloned().collect()),
            page,
            // A free port, where the page has 127.0.0.1:9090.
            environment: vec![("LISTEN", "127.0.0.1:0".to_owned())],
            bin,
        }
    }

    /// With this variable for all programs.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// With this server as the one on the default port.
    pub(crate) fn at(self, server: &Server) -> Self {
        self.with("REDIS_URL", server.url())
    }

    /// Starts what a line of the page starts.
    #[track_caller]
    pub(crate) fn start(&self, command: &str) -> Program {
        self.start_with(command, &[])
    }

    /// The same, with the words that stand for something the reader has to fill in.
    #[track_caller]
    pub(crate) fn start_with(&self, command: &str, words: &[(&str, &str)]) -> Program {
        self.is_said(command);
        let mut line = command.to_owned();
        for (word, value) in words {
            assert!(line.contains(word), "{line} has no {word}");
            line = line.replace(word, value);
        }
        // The shell becomes the program, which so has the process id that we know.
        let line = match line.find("cargo ") {
            Some(at) if !line.starts_with("env ") => format!("{}exec {}", &line[..at], &line[at..]),
            Some(_) => format!("exec {line}"),
            None => line,
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &line])
            // Where a reader of the page is.
            .current_dir(folder().join(".."))
            .env_remove("REDIS_URL")
            .env("PATH", format!("{}:{path}", self.bin.path().display()))
            .env("EXAMPLES", examples())
            .env("COMMAND", env!("CARGO_BIN_EXE_streamherd-of-lessons"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        Program::start(shell)
    }

    /// Runs a line of the page to its end, which is a good one, and answers what it said.
    #[track_caller]
    pub(crate) fn run(&self, command: &str) -> Vec<String> {
        self.run_with(command, &[])
    }

    #[track_caller]
    pub(crate) fn run_with(&self, command: &str, words: &[(&str, &str)]) -> Vec<String> {
        let (status, lines) = self.start_with(command, words).ends();
        assert!(status.success(), "{command}: {status}\n{}", lines.join("\n"));
        lines
    }

    /// Runs a line of the page again and again, until it shows all that the page promises of it.
    #[track_caller]
    pub(crate) fn shows(&self, command: &str, words: &[(&str, &str)], promises: &[&str]) {
        for promise in promises {
            self.is_said(promise);
        }
        let shown = |lines: &[String], promise: &&str| lines.iter().any(|line| kept(promise, line.trim()).is_some());
        let mut last = Vec::new();
        let until = std::time::Instant::now() + SOON;
        while std::time::Instant::now() < until {
            last = self.run_with(command, words);
            if promises.iter().all(|promise| shown(&last, promise)) {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(200));
        }
        panic!("{command} does not show {promises:?}, but\n{}", last.join("\n"));
    }

    /// Sends a process what the page sends it.
    #[track_caller]
    pub(crate) fn kill(&self, command: &str, pid: &str) {
        self.run_with(command, &[("PID", pid)]);
    }

    /// What redis-cli would answer to a line of the page.
    #[track_caller]
    pub(crate) fn redis_cli(&self, command: &str, server: &Server) -> Reply {
        self.is_said(command);
        let words = command.strip_prefix("redis-cli ").expect(command).split(' ');
        let words: Vec<&str> = words.map(|word| word.trim_matches('\'')).collect();
        server.client().call(&words).ok()
    }

    /// What curl shows for a line of the page, with the address that the program really has.
    #[track_caller]
    pub(crate) fn curl(&self, command: &str, address: &str) -> Vec<String> {
        self.is_said(command);
        let (options, path) = command.split_once("http://127.0.0.1:9090").expect(command);
        let answer = get(address, path);
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let shown = if options.contains("-i") { answer.as_str() } else { body };
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
        shown.lines().map(str::to_owned).collect()
    }

    /// What the page promises, for whoever looks for it by other means.
    #[track_caller]
    pub(crate) fn promises<'p>(&self, promise: &'p str) -> &'p str {
        self.is_said(promise);
        promise
    }

    /// Waits until a program says what the page promises.
    #[track_caller]
    pub(crate) fn sees(&self, program: &Program, promise: &str) -> Vec<String> {
        self.is_said(promise);
        program.says(promise)
    }

    /// As [`sees`](Self::sees), behind a mark.
    #[track_caller]
    pub(crate) fn sees_after(&self, program: &Program, mark: usize, promise: &str) -> Vec<String> {
        self.is_said(promise);
        program.says_after(mark, promise)
    }

    /// Checks what somebody else has answered.
    #[track_caller]
    pub(crate) fn sees_in(&self, lines: &[String], promise: &str) {
        self.is_said(promise);
        let found = lines.iter().any(|line| kept(promise, line.trim()).is_some());
        assert!(found, "{promise:?} is not in\n{}", lines.join("\n"));
    }

    /// That the page says so.
    #[track_caller]
    fn is_said(&self, line: &str) {
        let mut left = self.left.borrow_mut();
        if let Some(at) = left.iter().position(|one| one == line) {
            left.remove(at);
            return;
        }
        let said = self
            .page
            .commands
            .iter()
            .chain(&self.page.promises)
            .any(|one| one == line);
        assert!(said, "{} does not say {line:?}", self.page.path.display());
    }
}

impl Drop for Lesson {
    /// A page may say nothing that was not tried.
    fn drop(&mut self) {
        let left = self.left.borrow();
        if !left.is_empty() && !thread::panicking() {
            panic!(
                "{} says what was not tried:\n{}",
                self.page.path.display(),
                left.join("\n")
            );
        }
    }
}

/// Where cargo puts the examples: beside the folder of this test.
fn examples() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent()
        .and_then(Path::parent)
        .expect("a folder of cargo's")
        .join("examples")
}

#[track_caller]
fn is_built(example: &str, source: &Path) {
    let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified());
    let built = changed(&examples().join(example));
    let fresh = built.is_ok_and(|built| built >= changed(source).expect("its source"));
    assert!(
        fresh,
        "{example} is not built: run `cargo test -p streamherd-examples --all-features`, without `--test`"
    );
}

fn get(address: &str, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut answer = String::new();
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    write!(
        connection,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until that is so in Redis.
#[track_caller]
pub(crate) fn becomes(what: &str, mut so: impl FnMut() -> bool) {
    eventually_blocking(SOON, what, || so().then_some(()));
}
