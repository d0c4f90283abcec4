//! The Redis that is measured on.

use fred::clients::Client;
use fred::interfaces::ClientLike as _;
use fred::types::config::{Config, ReconnectPolicy};
use fred::types::{Builder, ClusterHash, CustomCommand, Value};

use streamherd_testkit::{Cluster, Server};

use crate::BenchError;

/// A connection beside those that are measured.
#[derive(Debug, Clone)]
pub(crate) struct Redis(pub(crate) Client);

/// What a server has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) cpu_s: f64,
    /// All commands, also those that scripts call.
    pub(crate) commands: u64,
    /// Scripts that were called.
    pub(crate) scripts: u64,
    /// Keys whose time to live was extended, by scripts too.
    pub(crate) extended: u64,
}

impl Used {
    /// What was sent since: scripts, and where there are none, commands. Redis does not tell the commands that a client sends
    /// from those that scripts call, so the few that are sent beside scripts are left out.
    pub(crate) const fn sent_since(&self, before: &Self) -> u64 {
        match self.scripts - before.scripts {
            0 => self.commands - before.commands,
            scripts => scripts,
        }
    }
}

/// A server of its own, that keeps its data in memory.
pub(crate) fn start() -> Result<Server, BenchError> {
    tokio::task::block_in_place(Server::try_start).map_err(|e| BenchError::Server(Box::new(e)))
}

/// Three masters.
pub(crate) fn start_cluster() -> Result<Cluster, BenchError> {
    let cluster = Cluster::builder().replicas_per_master(0);
    tokio::task::block_in_place(|| cluster.try_start()).map_err(|e| BenchError::Server(Box::new(e)))
}

pub(crate) async fn connect(url: &str) -> Result<Client, BenchError> {
    let client = Builder::from_config(Config::from_url(url)?)
        // As streamherd has it: what is compared must not differ in that.
        .with_connection_config(|c| c.tcp.nodelay = Some(true))
        .set_policy(ReconnectPolicy::new_constant(0, 100))
        .build()?;
    client.init().await?;
    Ok(client)
}

impl Redis {
    pub(crate) async fn at(url: &str) -> Result<Self, BenchError> {
        Ok(Self(connect(url).await?))
    }

    pub(crate) async fn call(&self, name: &'static str, args: &[&str]) -> Result<Value, BenchError> {
        let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        let args: Vec<Value> = args.iter().map(|arg| (*arg).into()).collect();
        Ok(self.0.custom(command, args).await?)
    }

    /// What the server has used so far.
    pub(crate) async fn used(&self) -> Result<Used, BenchError> {
        let info = self.call("INFO", &["everything"]).await?;
        let info = info.as_str().unwrap_or_default();
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split([',', '\r']).next()?.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(Used {
            cpu_s: number("used_cpu_user:") + number("used_cpu_sys:"),
            commands: number("total_commands_processed:") as u64,
            scripts: (number("cmdstat_evalsha:calls=") + number("cmdstat_eval:calls=")) as u64,
            extended: number("cmdstat_pexpire:calls=") as u64,
        })
    }
}
