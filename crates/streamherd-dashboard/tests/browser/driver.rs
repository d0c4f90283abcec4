//! The program that starts browsers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use streamherd_testkit::{Process, eventually};
use tempfile::TempDir;

/// How long a browser may take on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// How long the driver may take to end its browsers.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A chromedriver on a free port. Its end is that of its browsers.
#[derive(Debug)]
pub(crate) struct Driver {
    process: Process,
    pub(crate) port: u16,
    // After the process, which writes there.
    dir: TempDir,
}

impl Driver {
    pub(crate) async fn start() -> Self {
        let program = find("STREAMHERD_CHROMEDRIVER", &["chromedriver"]);
        let dir = tempfile::Builder::new()
            .prefix("streamherd-browser-")
            .tempdir()
            .expect("a directory for the browser");
        let said = dir.path().join("said");
        let mut command = Command::new(program);
        command
            .arg("--port=0")
            // What a browser leaves behind goes with the directory.
            .env("TMPDIR", dir.path())
            .env("HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(File::create(&said).expect("a file for what the driver says"))
            .stderr(Stdio::null());
        let process = Process::spawn(command);
        let port = eventually(PATIENCE, "chromedriver listens", || {
            let said = fs::read_to_string(&said).unwrap_or_default();
            async move {
                let (_, rest) = said.split_once("successfully on port ")?;
                let (port, _) = rest.split_once('.')?;
                port.parse().ok()
            }
        })
        .await;
        Self { process, port, dir }
    }

    /// A directory of the browser's own.
    pub(crate) fn profile(&self) -> PathBuf {
        self.dir.path().join("profile")
    }
}

impl Drop for Driver {
    /// By SIGTERM, on which it ends its browsers; a killed one would leave them running.
    fn drop(&mut self) {
        if self.process.try_wait().is_some() {
            return;
        }
        self.process.terminate();
        let end = std::time::Instant::now() + LAST_WORDS;
        while self.process.try_wait().is_none() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The browser, by its own name or Google's.
pub(crate) fn chromium() -> PathBuf {
    find(
        "STREAMHERD_CHROMIUM",
        &["chromium", "chromium-browser", "google-chrome"],
    )
}

fn find(variable: &str, names: &[&str]) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = names
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |dir| dir.join(name)));
    let is_there = |path: &PathBuf| Path::is_file(path);
    all.into_iter().find(is_there).unwrap_or_else(|| {
        panic!(
            "no {} on the PATH: `apt-get install chromium chromium-driver` (Fedora: `dnf install chromium chromedriver`), or \
             set {variable}",
            names.join(" or ")
        )
    })
}
