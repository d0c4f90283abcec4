//! A terminal that `streamherd top` runs in, and what is on its screen.

use std::io::{Read as _, Write};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use streamherd_testkit::{Server, eventually_blocking};

use crate::support::{DEADLINE, at};

/// A program in a terminal of its own, which ends with the test.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    parser: Arc<Mutex<vt100::Parser>>,
    /// All that was ever written to it.
    written: Arc<Mutex<Vec<u8>>>,
    ended: Option<u32>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        ..PtySize::default()
    }
}

fn cells(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

impl Terminal {
    /// `streamherd top` in 80×24, with looks close together.
    pub(crate) fn top(server: &Server, args: &[&str]) -> Self {
        let mut command = at(server);
        command.args(["top", "--interval", "200ms"]).args(args);
        Self::run(&command)
    }

    /// A command in 80×24.
    pub(crate) fn run(command: &Command) -> Self {
        let pair = native_pty_system().openpty(size(80, 24)).unwrap();
        let mut told = CommandBuilder::new(command.get_program());
        told.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => told.env(name, value),
                None => told.env_remove(name),
            }
        }
        told.env_remove("NO_COLOR");
        told.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(told).unwrap();
        drop(pair.slave);
        let parser = Arc::new(Mutex::new(vt100::Parser::new(cells(24), cells(80), 0)));
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (to, all) = (Arc::clone(&parser), Arc::clone(&written));
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                to.lock().unwrap().process(&bytes[..n]);
                all.lock().unwrap().extend_from_slice(&bytes[..n]);
            }
        });
        Self {
            child,
            keys: pair.master.take_writer().unwrap(),
            master: pair.master,
            parser,
            written,
            ended: None,
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let mut parser = self.parser.lock().unwrap();
        parser.screen_mut().set_size(cells(rows), cells(columns));
        drop(parser);
        self.master.resize(size(columns, rows)).unwrap();
    }

    pub(crate) fn look<T>(&self, at: impl FnOnce(&vt100::Screen) -> T) -> T {
        at(self.parser.lock().unwrap().screen())
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.look(|screen| {
            let (_, columns) = screen.size();
            screen
                .rows(0, columns.get())
                .map(|line| line.trim_end().to_owned())
                .collect()
        })
    }

    /// Everything that it was sent.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&[String]) -> bool) {
        eventually_blocking(DEADLINE, what, || is_so(&self.lines()).then_some(()));
    }

    /// Waits until all of these are on the screen.
    #[track_caller]
    pub(crate) fn wait_for(&self, texts: &[&str]) {
        let has = |lines: &[String], text: &str| lines.iter().any(|line| line.contains(text));
        self.wait_until(&format!("{texts:?} on the screen"), |lines| {
            texts.iter().all(|text| has(lines, text))
        });
    }

    #[track_caller]
    pub(crate) fn wait_without(&self, text: &str) {
        self.wait_until(&format!("{text:?} off the screen"), |lines| {
            !lines.iter().any(|line| line.contains(text))
        });
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.process_id().unwrap()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended, and returns its exit code.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> u32 {
        let child = &mut self.child;
        let code = eventually_blocking(DEADLINE, "it ends", || {
            child.try_wait().unwrap().map(|status| status.exit_code())
        });
        self.ended = Some(code);
        code
    }

    /// How the terminal treats what is typed and printed.
    pub(crate) fn modes(&self) -> String {
        format!("{:?}", self.master.get_termios().unwrap())
    }

    /// Whether it is on its ordinary screen, with a cursor.
    pub(crate) fn is_given_back(&self) -> bool {
        self.look(|screen| !screen.alternate_screen() && !screen.hide_cursor())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the screen:\n{}", self.lines().join("\n"));
        }
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
