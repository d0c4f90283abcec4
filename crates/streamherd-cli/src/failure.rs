//! How a command fails: what is printed, and the exit code.

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use streamherd::error::ConnectError;

use crate::human::printable;
use crate::output;

/// A failure that ends the command.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

const FAILED: u8 = 1;
const NOT_STARTED: u8 = 2;

impl Failure {
    /// The command did not start: a setting, a connection, something that is not installed.
    pub(crate) fn start(error: impl Into<Box<dyn Error>>) -> Self {
        let error = error.into();
        let mut message = with_sources(error.as_ref());
        if let Some(flags) = error.downcast_ref().and_then(flags) {
            let _ = write!(message, " ({flags})");
        }
        Self {
            message,
            code: NOT_STARTED,
        }
    }

    /// Something went wrong on the way.
    pub(crate) fn failed(error: impl Into<Box<dyn Error>>) -> Self {
        Self {
            message: with_sources(error.into().as_ref()),
            code: FAILED,
        }
    }

    /// The same with more to read, of any number of lines.
    pub(crate) fn with_text(mut self, text: &str) -> Self {
        let _ = write!(self.message, "\n{text}");
        self
    }

    /// Prints the failure, and returns its exit code.
    pub(crate) fn report(&self) -> ExitCode {
        // What breaks lines here is meant to: whatever one error says is in one of them.
        for text in format!("error: {}", self.message).lines() {
            output::say(text);
        }
        ExitCode::from(self.code)
    }
}

/// The flags behind a setting, which the library calls by the name it has in its builder.
fn flags(error: &ConnectError) -> Option<&'static str> {
    let setting = match error {
        ConnectError::Setting(error) => error.setting,
        ConnectError::Tls { .. } => return Some("--tls-ca, --tls-cert, --tls-key"),
        ConnectError::FleetTtl { .. } => return Some("--min-idle, --lock-ttl"),
        ConnectError::Partitions { .. } => return Some("--partitions"),
        _ => return None,
    };
    Some(match setting {
        "service" => "--service",
        "partitions" => "--partitions",
        "layout" => "--layout",
        "tls" => "--url, --tls-ca, --tls-cert, --tls-key",
        "tls.ca_file" => "--tls-ca",
        "tls.client_certificate" => "--tls-cert",
        "tls.client_key" => "--tls-key",
        "credentials" => "--password-file",
        "consumer" => "--name",
        "max_in_flight" => "--concurrency",
        "lock_ttl" => "--lock-ttl",
        "recovery.min_idle" => "--min-idle",
        "recovery.scan_interval" => "--scan-interval",
        "recovery.max_failures" => "--max-failures",
        "recovery.max_abandonments" => "--max-abandonments",
        "retry.first" => "--retry-first",
        "retry.longest" => "--retry-longest",
        _ => return None,
    })
}

/// What the command line lacks, in the form clap gives its own errors.
pub(crate) fn usage_error(message: &str) -> Failure {
    Failure {
        message: format!("{message}\n\nFor more information, try '--help'."),
        code: NOT_STARTED,
    }
}

/// An error and what caused it, one line each.
fn with_sources(error: &dyn Error) -> String {
    causes(error).join("\n  caused by: ")
}

/// An error and what caused it, in one line.
pub(crate) fn in_one_line(error: &dyn Error) -> String {
    causes(error).join(", caused by: ")
}

fn causes(error: &dyn Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        causes.push(printable(&error.to_string()).into_owned());
        next = error.source();
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_breaks_no_line_that_is_not_meant() {
        let inner = std::io::Error::other("no\nerror: forged\u{1b}[31m");
        let error = streamherd::error::InvalidEntry::Info(serde_json::Error::io(inner));
        let outer = error.to_string();
        assert_eq!(
            with_sources(&error),
            format!("{outer}\n  caused by: no\\nerror: forged\\u{{1b}}[31m")
        );
        assert_eq!(in_one_line(&error).lines().count(), 1);
    }
}
