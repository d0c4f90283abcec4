//! `streamherd serve`: the dashboard and its API.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use streamherd_dashboard::Dashboard;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Global, Output};
use crate::failure::{Failure, usage_error};
use crate::output;

/// Serve the dashboard: a page to watch the service by, and to act on it with a token
#[derive(Debug, Args)]
#[command(after_help = HELP, override_usage = "streamherd serve --service <NAME> [OPTIONS]")]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 = any that is free
    #[arg(
        long,
        value_name = "ADDR",
        env = "STREAMHERD_LISTEN",
        default_value = "127.0.0.1:8380"
    )]
    listen: SocketAddr,

    /// Allow actions to whoever has this token; everyone on the machine can read command lines, so better set the variable
    /// or use a file
    #[arg(long, value_name = "TOKEN", env = "STREAMHERD_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,

    /// Allow actions to whoever has the token in this file
    #[arg(long, value_name = "FILE", env = "STREAMHERD_ADMIN_TOKEN_FILE")]
    admin_token_file: Option<PathBuf>,

    /// Answer under this host's name too, as a proxy in front passes it on; may be repeated, `*` = under any
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
}

const HELP: &str = "\
Without a token the dashboard is read-only. Whoever reaches it sees everything: names, errors and the fields of dead
letters. It answers under addresses and localhost; a name needs --allow-host.

It speaks HTTP. Beyond this machine put it behind a proxy that speaks TLS and asks who is there.

SIGTERM and SIGINT end it.

Exit codes:
  0  ended by a signal
  1  it could listen no longer
  2  usage or start-up error: a setting, the connection, the address to listen on";

#[derive(Serialize)]
struct Line<'a> {
    service: &'a str,
    url: &'a str,
    read_only: bool,
}

pub(crate) async fn run(global: &Global, options: &ServeArgs) -> Result<ExitCode, Failure> {
    let token = token(options)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::start)?;
    let builder = global.builder()?;
    let listener = TcpListener::bind(options.listen).await.map_err(|e| {
        Failure::start(format!(
            "can't listen on {}: {e}; choose another --listen",
            options.listen
        ))
    })?;
    let address = listener.local_addr().map_err(Failure::start)?;
    let admin = builder.connect_admin().await.map_err(Failure::start)?;
    let mut dashboard = Dashboard::builder(admin.clone()).allow_hosts(&options.allow_host);
    if let Some(token) = &token {
        dashboard = dashboard.admin_token(token);
    }
    let dashboard = dashboard.build();

    let url = format!("http://{address}/");
    match global.output {
        Output::Json => output::json(&Line {
            service: global.service()?,
            url: &url,
            read_only: token.is_none(),
        })?,
        Output::Table => {
            let mode = if token.is_none() {
                " (read-only: no --admin-token)"
            } else {
                ""
            };
            output::line(&format!("dashboard of service {}: {url}{mode}", global.service()?))?;
        }
    }
    if !address.ip().is_loopback() {
        output::say(&format!(
            "listening on {address} without TLS: whoever reaches it sees everything, and a token is readable on the way; put a proxy with TLS in front"
        ));
    }
    let signalled = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    dashboard.serve(listener, signalled).await.map_err(Failure::failed)?;
    drop(dashboard);
    admin.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Orchestrators set what they don't fill, so what is empty is not there.
fn token(options: &ServeArgs) -> Result<Option<String>, Failure> {
    let given = options.admin_token.as_ref().filter(|token| !token.is_empty());
    let file = options
        .admin_token_file
        .as_ref()
        .filter(|file| !file.as_os_str().is_empty());
    match (given, file) {
        (Some(_), Some(_)) => Err(usage_error(
            "two tokens: --admin-token (or STREAMHERD_ADMIN_TOKEN) and --admin-token-file (or STREAMHERD_ADMIN_TOKEN_FILE); use one",
        )),
        (Some(token), None) => Ok(Some(token.clone())),
        (None, None) => Ok(None),
        (None, Some(file)) => {
            let name = file.display();
            let text = std::fs::read_to_string(file)
                .map_err(|e| Failure::start(format!("the admin token can't be read from {name}: {e}")))?;
            match text.trim() {
                "" => Err(Failure::start(format!("the admin token's file {name} is empty"))),
                token => Ok(Some(token.to_owned())),
            }
        }
    }
}
