use std::collections::HashMap;
use std::fmt::{self, Write};

use sha1::{Digest, Sha1};

/// A request on its way through the [`Proxy`](crate::Proxy).
#[derive(Debug, Clone)]
pub struct Command {
    name: String,
    script: Option<String>,
    args: Vec<Vec<u8>>,
}

impl Command {
    /// The command in capitals, followed by the name of the script it runs if that is known: `XREADGROUP`,
    /// `EVALSHA:settle`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the script that an `EVAL` or `EVALSHA` runs, if it is known.
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        self.script.as_deref()
    }

    /// The request as it was sent, the command's own name first.
    #[must_use]
    pub fn args(&self) -> &[Vec<u8>] {
        &self.args
    }

    /// Whether the request begins with these words, in any case: `is("XREADGROUP")`, `is("SCRIPT LOAD")`.
    #[must_use]
    pub fn is(&self, words: &str) -> bool {
        let mut args = self.args.iter();
        words
            .split_whitespace()
            .all(|word| args.next().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes())))
    }

    /// After these the server sends what nobody asked for, so replies can no longer be counted.
    pub(super) fn ends_the_counting(&self) -> bool {
        ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR"]
            .iter()
            .any(|command| self.is(command))
    }
}

/// Which requests a fault is for.
pub struct Matcher {
    description: String,
    test: Box<dyn Fn(&Command) -> bool + Send>,
}

impl Matcher {
    /// Requests that begin with these words, in any case: `command("XREADGROUP")`, `command("CLIENT SETNAME")`.
    #[must_use]
    pub fn command(words: &str) -> Self {
        let wanted = words.to_owned();
        Self::new(words, move |command| command.is(&wanted))
    }

    /// Every run of the script with this name, by `EVALSHA` or by `EVAL`. Where the name comes from:
    /// [`Proxy`](crate::Proxy#scripts).
    #[must_use]
    pub fn script(name: &str) -> Self {
        let wanted = name.to_owned();
        Self::new(&format!("script {name}"), move |command| {
            command.script() == Some(&wanted)
        })
    }

    /// Every request, a client's greeting on a new connection included.
    #[must_use]
    pub fn any() -> Self {
        Self::new("any command", |_| true)
    }

    /// Requests of the caller's choice. `test` sees every request once, in the order of arrival; it must not use the
    /// proxy.
    pub fn custom(test: impl Fn(&Command) -> bool + Send + 'static) -> Self {
        Self::new("a custom match", test)
    }

    /// Of these requests, those that say something which begins so: `Matcher::script("read").about("{orders:2}:")` counts
    /// the reads of one hash slot only.
    #[must_use]
    pub fn about(self, beginning: &str) -> Self {
        let description = format!("{} about {beginning}", self.description);
        let beginning = beginning.as_bytes().to_vec();
        Self::new(&description, move |command| {
            (self.test)(command) && command.args().iter().any(|arg| arg.starts_with(&beginning))
        })
    }

    pub(super) fn matches(&self, command: &Command) -> bool {
        (self.test)(command)
    }

    pub(super) fn description(&self) -> &str {
        &self.description
    }

    fn new(description: &str, test: impl Fn(&Command) -> bool + Send + 'static) -> Self {
        Self {
            description: description.to_owned(),
            test: Box::new(test),
        }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Matcher").field(&self.description).finish()
    }
}

/// The names of the scripts that went by, under the SHA-1 that `EVALSHA` calls them by.
#[derive(Debug, Default)]
pub(super) struct Scripts(HashMap<String, String>);

impl Scripts {
    /// Names a request, and remembers the script if it brings one.
    pub(super) fn command(&mut self, args: Vec<Vec<u8>>) -> Command {
        let word = |index: usize| -> String {
            let arg = args.get(index).map_or(&[][..], Vec::as_slice);
            String::from_utf8_lossy(arg).to_uppercase()
        };
        let mut name = word(0);
        let script = match (name.as_str(), args.get(1)) {
            ("EVAL" | "EVAL_RO", Some(body)) => self.learn(body),
            ("EVALSHA" | "EVALSHA_RO", Some(sha)) => {
                let sha = String::from_utf8_lossy(sha).to_lowercase();
                self.0.get(&sha).cloned()
            }
            _ => None,
        };
        if name == "SCRIPT"
            && word(1) == "LOAD"
            && let Some(body) = args.get(2)
        {
            self.learn(body);
        }
        if let Some(script) = &script {
            name = format!("{name}:{script}");
        }
        Command { name, script, args }
    }

    /// Remembers a script that begins with `-- streamherd:<name>`, and returns its name.
    pub(super) fn learn(&mut self, body: &[u8]) -> Option<String> {
        let first_line = body.split(|byte| *byte == b'\n').next()?;
        let name = std::str::from_utf8(first_line)
            .ok()?
            .strip_prefix("-- streamherd:")?
            .trim()
            .to_owned();
        let sha = Sha1::digest(body).iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        self.0.insert(sha, name.clone());
        Some(name)
    }
}
