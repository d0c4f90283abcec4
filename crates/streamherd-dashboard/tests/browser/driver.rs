//! The program that starts browsers.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use streamherd_testkit::{Process, eventually};
use tempfile::TempDir;

/// How long a browser may take on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A browser, and the chromedriver that speaks to it. Both end with the value.
#[derive(Debug)]
pub(crate) struct Driver {
    _driver: Process,
    _browser: Group,
    pub(crate) port: u16,
    /// Where the browser listens to its driver.
    pub(crate) browser_port: u16,
    // After the processes, which write there.
    _dir: TempDir,
}

impl Driver {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("streamherd-browser-")
            .tempdir()
            .expect("a directory for the browser");
        // Started here and not by the driver, whose end would not be that of its browsers.
        let browser = Group::spawn(chromium_at(dir.path()));
        let told = dir.path().join("profile/DevToolsActivePort");
        let browser_port = eventually(PATIENCE, "the browser listens", || {
            let told = fs::read_to_string(&told).unwrap_or_default();
            async move { told.lines().next()?.parse().ok() }
        })
        .await;

        let said = dir.path().join("said");
        let mut command = Command::new(find("STREAMHERD_CHROMEDRIVER", &["chromedriver"]));
        command
            .arg("--port=0")
            .env("TMPDIR", dir.path())
            .stdin(Stdio::null())
            .stdout(File::create(&said).expect("a file for what the driver says"))
            .stderr(Stdio::null());
        let driver = Process::spawn(command);
        let port = eventually(PATIENCE, "chromedriver listens", || {
            let said = fs::read_to_string(&said).unwrap_or_default();
            async move {
                let (_, rest) = said.split_once("successfully on port ")?;
                let (port, _) = rest.split_once('.')?;
                port.parse().ok()
            }
        })
        .await;
        Self {
            _driver: driver,
            _browser: browser,
            port,
            browser_port,
            _dir: dir,
        }
    }
}

fn chromium_at(dir: &Path) -> Command {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut command = Command::new(find("STREAMHERD_CHROMIUM", &names));
    command
        .args([
            "--headless=new",
            // Chromium runs for root only so, and where a container forbids user namespaces. All it opens is ours.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-breakpad",
            "--no-first-run",
            "--disable-extensions",
            "--disable-component-update",
            "--disable-background-networking",
            "--hide-scrollbars",
            "--window-size=1280,900",
            "--remote-debugging-port=0",
        ])
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .arg("about:blank")
        // What it leaves behind goes with the directory.
        .env("TMPDIR", dir)
        .env("HOME", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A process with those that it starts in turn, as browsers do; all are killed at the end.
#[derive(Debug)]
struct Group {
    leader: Process,
}

impl Group {
    fn spawn(mut command: Command) -> Self {
        command.process_group(0);
        Self {
            leader: Process::spawn(command),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // As long as the leader is not reaped, its number is nobody else's.
        let pid = i32::try_from(self.leader.pid()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

fn find(variable: &str, names: &[&str]) -> PathBuf {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
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
