//! The terminal: taken while `top` runs, and given back as it was, however that ends.

use std::io::{self, Stdout};
use std::mem::ManuallyDrop;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, EnableBracketedPaste, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use tokio::sync::mpsc;

use super::update::{Event, Key};
use crate::output;

/// How often the thread that reads keys looks whether anybody wants them.
const LOOK_UP: Duration = Duration::from_millis(200);

/// Whether there is a screen to give back.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The screen, until it is dropped.
pub(super) struct Screen {
    /// Shows the cursor when it is dropped, or says on stderr that it can't: a panic where the terminal is gone. The cursor
    /// is given back with the rest.
    pub(super) terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
}

impl Screen {
    /// Takes the terminal: raw, on its other screen. A panic, wherever it is, gives it back before it is told.
    pub(super) fn take() -> io::Result<Self> {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            told(panic);
        }));
        output::hold();
        TAKEN.store(true, Ordering::SeqCst);
        let taken = enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, Hide))
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match taken {
            Ok(terminal) => Ok(Self {
                terminal: ManuallyDrop::new(terminal),
            }),
            Err(e) => {
                give_back();
                Err(e)
            }
        }
    }

    /// Whether a panic elsewhere has given it back.
    pub(super) fn is_lost() -> bool {
        !TAKEN.load(Ordering::SeqCst)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// The terminal as it was, and what was not printed meanwhile. Once.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // A terminal that is gone needs nothing.
    let _ = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    output::release();
}

/// Reads keys on a thread of its own, which ends with who wants them, or with the terminal.
pub(super) fn read_keys(events: mpsc::UnboundedSender<Event>) -> io::Result<()> {
    let read = move || {
        while !events.is_closed() {
            match event::poll(LOOK_UP) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(_) => break,
            }
            let Ok(read) = event::read() else { break };
            let told = match read {
                event::Event::Key(key) => key_of(key).map(Event::Key),
                // Text that was copied somewhere is no row of keys, or an `r` and a `y` in it would redrive something.
                event::Event::Paste(text) => Some(Event::Pasted(text)),
                event::Event::Resize(columns, rows) => Some(Event::Resized(columns, rows)),
                _ => None,
            };
            if told.is_some_and(|told| events.send(told).is_err()) {
                break;
            }
        }
        // Nobody could leave any more.
        let _ = events.send(Event::Key(Key::Leave));
    };
    thread::Builder::new().name("keys".to_owned()).spawn(read).map(drop)
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c' | 'd') if control => Key::Leave,
        KeyCode::Char(_) if control || key.modifiers.contains(KeyModifiers::ALT) => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use portable_pty::{CommandBuilder, PtySize, native_pty_system};

    use super::*;

    const VARIABLE: &str = "STREAMHERD_TEST_PANICS";

    /// Does nothing but in the process that the test below starts.
    #[test]
    fn panics_on_a_screen_of_its_own() {
        if std::env::var_os(VARIABLE).is_some() {
            let _screen = Screen::take().unwrap();
            output::say("a line of the log");
            thread::spawn(|| panic!("on purpose")).join().unwrap_err();
            assert!(Screen::is_lost());
        }
    }

    #[test]
    fn a_panic_on_any_thread_gives_the_terminal_back_before_it_is_told() {
        let pair = native_pty_system().openpty(PtySize::default()).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        let test = "top::terminal::tests::panics_on_a_screen_of_its_own";
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        command.env(VARIABLE, "1");
        command.env("TERM", "xterm-256color");
        let mut child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            // A terminal whose program has ended is an error to read.
            let _ = reader.read_to_end(&mut all);
            String::from_utf8_lossy(&all).into_owned()
        });
        assert!(child.wait().unwrap().success());
        let modes = format!("{:?}", pair.master.get_termios().unwrap());
        assert!(modes.contains("ICANON") && modes.contains("ECHO"), "{modes}");
        drop(pair);
        let written = reading.join().unwrap();
        let at = |text: &str| {
            written
                .find(text)
                .unwrap_or_else(|| panic!("no {text:?} in {written:?}"))
        };
        let steps = [
            "\u{1b}[?1049h",
            "\u{1b}[?1049l",
            "\u{1b}[?25h",
            "a line of the log",
            "on purpose",
        ]
        .map(at);
        assert!(steps.is_sorted(), "{steps:?} {written:?}");
    }
}
