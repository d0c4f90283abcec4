//! The options that all commands have: where Redis is, who logs in, which service, how to print.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use streamherd::{Credentials, Layout, Tls};

use crate::failure::{Failure, usage_error};

const GLOBAL: &str = "Global options";

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where Redis is: redis://[user:password@]host:port[/db], redis-cluster://host:port,
    /// redis-sentinel://host:port?sentinelServiceName=name, rediss… for TLS, or redis+unix:///path
    // The value of the variable may hold a password, and help is printed to whoever asks.
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "REDIS_URL",
        hide_env_values = true,
        default_value = "redis://127.0.0.1:6379"
    )]
    pub(crate) url: String,

    /// Trust the authorities in this PEM file, in place of the system's; for rediss URLs
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    /// Show this PEM certificate to the server; for rediss URLs
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// The key of that certificate, as PEM and not encrypted
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// Log in as this user, in place of the URL's
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_USERNAME", value_name = "NAME")]
    username: Option<String>,

    /// Log in with the password in this file, in place of the URL's; or set STREAMHERD_PASSWORD
    // No flag takes the password itself: everyone on the machine can read command lines.
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// The service whose queue to use; all commands but demo need it
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_SERVICE", value_name = "NAME")]
    service: Option<String>,

    /// Into how many partitions the service is divided, each in a cluster slot of its own [default: 1 for worker and submit,
    /// what Redis keeps for the others]; Redis keeps the first number, and whoever comes with another one is refused
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_PARTITIONS", value_name = "N")]
    partitions: Option<u16>,

    /// By which names the service is kept in Redis: its own, or those that workers of redis-stream-client-go share
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_LAYOUT", value_enum, value_name = "LAYOUT", default_value_t = Names::Native)]
    layout: Names,

    /// How to print results
    #[arg(long, global = true, help_heading = GLOBAL, env = "STREAMHERD_OUTPUT", value_enum, value_name = "FORMAT", default_value_t = Output::Table)]
    pub(crate) output: Output,
}

impl Global {
    /// The service, which the demo does without.
    pub(crate) fn service(&self) -> Result<&str, Failure> {
        self.service
            .as_deref()
            .ok_or_else(|| usage_error("no service: pass --service NAME or set STREAMHERD_SERVICE"))
    }

    /// A builder for the service at the URL.
    pub(crate) fn builder(&self) -> Result<streamherd::Builder, Failure> {
        let mut builder = streamherd::Client::builder(self.service()?)
            .url(&self.url)
            .credentials(self.login()?)
            .sentinel_credentials(sentinel_login()?)
            .layout(match self.layout {
                Names::Native => Layout::Native,
                Names::Go => Layout::GoCompatible,
            });
        if let Some(tls) = self.tls()? {
            builder = builder.tls(tls);
        }
        Ok(match self.partitions {
            Some(partitions) => builder.partitions(partitions),
            None => builder,
        })
    }

    fn tls(&self) -> Result<Option<Tls>, Failure> {
        let mut tls = Tls::new();
        if let Some(ca) = given(&self.tls_ca) {
            tls = tls.ca_file(ca);
        }
        match (given(&self.tls_cert), given(&self.tls_key)) {
            (Some(certificate), Some(key)) => tls = tls.client_certificate(certificate, key),
            (None, None) => {}
            (Some(_), None) => {
                return Err(usage_error(
                    "--tls-cert without its key: pass --tls-key FILE or set STREAMHERD_TLS_KEY",
                ));
            }
            (None, Some(_)) => {
                return Err(usage_error(
                    "--tls-key without its certificate: pass --tls-cert FILE or set STREAMHERD_TLS_CERT",
                ));
            }
        }
        Ok((tls != Tls::new()).then_some(tls))
    }

    fn login(&self) -> Result<Credentials, Failure> {
        let mut login = Credentials::new();
        if let Some(user) = self.username.as_ref().filter(|user| !user.is_empty()) {
            login = login.user(user);
        }
        match (variable("STREAMHERD_PASSWORD")?, given(&self.password_file)) {
            (Some(_), Some(_)) => Err(usage_error(
                "two passwords: STREAMHERD_PASSWORD and --password-file (or STREAMHERD_PASSWORD_FILE); use one",
            )),
            (Some(password), None) => Ok(login.password(password)),
            (None, Some(file)) => Ok(login.password_file(file)),
            (None, None) => Ok(login),
        }
    }
}

/// What the environment says of TLS and logins.
pub(crate) const LOGIN_VARIABLES: [&str; 8] = [
    "STREAMHERD_TLS_CA",
    "STREAMHERD_TLS_CERT",
    "STREAMHERD_TLS_KEY",
    "STREAMHERD_USERNAME",
    "STREAMHERD_PASSWORD",
    "STREAMHERD_PASSWORD_FILE",
    "STREAMHERD_SENTINEL_USERNAME",
    "STREAMHERD_SENTINEL_PASSWORD",
];

/// Orchestrators set what they don't fill.
fn given(path: &Option<PathBuf>) -> Option<&PathBuf> {
    path.as_ref().filter(|path| !path.as_os_str().is_empty())
}

fn sentinel_login() -> Result<Credentials, Failure> {
    let mut login = Credentials::new();
    if let Some(user) = variable("STREAMHERD_SENTINEL_USERNAME")? {
        login = login.user(user);
    }
    if let Some(password) = variable("STREAMHERD_SENTINEL_PASSWORD")? {
        login = login.password(password);
    }
    Ok(login)
}

/// An environment variable that is set to something. What is not text is not repeated.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(usage_error(&format!("{name} is not UTF-8"))),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Names {
    /// {<service>:<partition>}:…
    Native,
    /// <service>-input and what Go workers know beside it
    Go,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs: JSON, one value per line
    Json,
}
