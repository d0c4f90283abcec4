//! A reader: a server on what they take for the usual port, a folder, a shell, and the programs that the pages name.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use streamherd_testkit::{Cluster, Server, eventually_blocking};
use tempfile::TempDir;

/// More than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Runs on in the background, in a process group of its own; killed with the test.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    is_over: bool,
}

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) server: Server,
    cluster: Option<Cluster>,
    folder: TempDir,
    started: usize,
}

impl Reader {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let server = Server::start();
        let programs = folder.path().join("programs");
        fs::create_dir(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_streamherd"), programs.join("streamherd")).unwrap();
        script(&programs.join("redis-cli"), &redis_cli(server.port()));
        script(&programs.join("cargo"), &CARGO.replace("$CARGO", env!("CARGO")));
        if find("openssl").is_none() {
            script(&programs.join("openssl"), RANDOM);
        }
        Self {
            server,
            cluster: None,
            folder,
            started: 0,
        }
    }

    /// Saves a script that the page gives, as an editor would: its second line is a comment with its name.
    pub(crate) fn save(&self, text: &str) {
        let name = text.lines().nth(1).and_then(|line| line.strip_prefix("# "));
        fs::write(self.folder.path().join(name.expect("a name")), text).unwrap();
    }

    /// The text with what stands for the reader's own in its place.
    fn own(&mut self, text: &str) -> String {
        let port = if text.contains("redis-cli -c") {
            let cluster = self.cluster.get_or_insert_with(|| {
                let builder = Cluster::builder().masters(3).replicas_per_master(0);
                builder.start()
            });
            cluster.node(0).port()
        } else {
            self.server.port()
        };
        text.replace("HOST", "127.0.0.1")
            .replace("PORT", &port.to_string())
            .replace("127.0.0.1:6379", &format!("127.0.0.1:{port}"))
    }

    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let ours = text.starts_with("STREAMHERD_") && text != "STREAMHERD_REDIS_SERVER";
            if ours || ["POD_NAME", "RUST_LOG", "TRACEPARENT"].contains(&&*text) {
                command.env_remove(&name);
            }
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let programs = self.folder.path().join("programs");
        command
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("REDIS_URL", self.server.url())
            // Others listen on the usual port, too.
            .env("STREAMHERD_LISTEN", "127.0.0.1:0")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command line as bash does, until it ends by itself; its exit code and all that it said.
    pub(crate) fn run(&mut self, text: &str) -> (Option<i32>, String) {
        let mut running = self.begin(text);
        let code = running.wait();
        (code, running.said())
    }

    pub(crate) fn begin(&mut self, text: &str) -> Running {
        let text = self.own(text);
        self.started += 1;
        let out = self.folder.path().join(format!("said-{}", self.started));
        let file = File::create(&out).unwrap();
        // With a trap bash waits for what it has started, and ends as that does.
        let whole = format!("set -eo pipefail\ntrap : TERM INT\n{text}");
        let child = self
            .command("bash")
            .args(["-c", &whole])
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap();
        Running {
            child,
            out,
            is_over: false,
        }
    }

    /// What `status` says, as JSON. `place` is the service as a command line names it.
    pub(crate) fn status(&self, place: &[String]) -> Value {
        let output = self
            .command("streamherd")
            .args(place)
            .args(["--output", "json", "status"])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    pub(crate) fn alive(&self, place: &[String]) -> usize {
        let status = self.status(place);
        let consumers = status["consumers"].as_array();
        let alive = consumers.into_iter().flatten().filter(|one| one["state"] == "alive");
        alive.count()
    }
}

impl Running {
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    /// Waits for a text, for as long as it runs.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.wait_until(text, |said| said.contains(text))
    }

    pub(crate) fn wait_until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        eventually_blocking(DEADLINE, what, || {
            let said = self.said();
            if is_so(&said) {
                return Some(said);
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?} before {what:?}: {said}");
            None
        })
    }

    fn wait(&mut self) -> Option<i32> {
        let began = Instant::now();
        let status = eventually_blocking(DEADLINE * 2, "it ends", || {
            assert!(began.elapsed() < DEADLINE, "it does not end: {}", self.said());
            self.child.try_wait().unwrap()
        });
        self.is_over = true;
        status.code()
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        // What has just ended needs none.
        let _ = kill_process_group(pid, signal);
    }

    /// Asks it to end, and expects that it ends well.
    pub(crate) fn end(mut self, signal: Signal) -> String {
        self.signal(signal);
        let code = self.wait();
        assert_eq!(code, Some(0), "{}", self.said());
        self.said()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The real one, at the test's server unless it is told another; an error of Redis is one of the command, which older
/// versions don't make of it.
fn redis_cli(port: u16) -> String {
    let beside = Server::find_binary()
        .ok()
        .map(|server| server.with_file_name("redis-cli"));
    let real = beside.filter(|path| path.is_file());
    let real = real.unwrap_or_else(|| find("redis-cli").expect("redis-cli comes with redis-server"));
    format!(
        "#!/bin/sh\nsaid=$({} -p {port} \"$@\") || exit\nprintf '%s\\n' \"$said\"\n\
         case $said in [A-Z][A-Z]*' '*) case ${{said%% *}} in OK|PONG) ;; *[!A-Z]*) ;; *) exit 1 ;; esac ;; esac\n",
        real.display()
    )
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// All that the pages want of openssl, which not every machine has: `rand -hex BYTES`.
const RANDOM: &str =
    "#!/bin/sh\n[ \"$1 $2\" = 'rand -hex' ] || exit 1\nod -An -v -N\"$3\" -tx1 /dev/urandom | tr -d ' \\n'\necho\n";

/// What cargo would build is built already.
const CARGO: &str = r#"#!/bin/sh
case "$*" in
    "run -p streamherd-cli -- "*) shift 4; exec streamherd "$@" ;;
    "xtask demo"* | "xtask bench"*) shift; exec streamherd "$@" ;;
    "new "*) exec $CARGO "$@" ;;
esac
echo "cargo $*: neither run nor in exceptions.rs" >&2
exit 97
"#;
