//! The processes of workers, each with a network of its own to all servers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use streamherd_testkit::{Process, Proxy};
use streamherd_tests::SOON;

use crate::schedule::{OnNetwork, OnWorker};
use crate::stage::Stage;

/// Somebody's way to the servers.
#[derive(Debug)]
pub(crate) struct Network {
    proxy: Proxy,
    pub(crate) url: String,
}

impl Network {
    pub(crate) async fn to(stage: &dyn Stage) -> Self {
        let (servers, watchers) = (stage.servers(), stage.watchers());
        let proxy = Proxy::in_front_of(&servers, &watchers).await;
        let mut url = stage.url();
        for server in servers.into_iter().chain(watchers) {
            let (theirs, ours) = (server.port(), proxy.port_to(server));
            url = url.replace(&format!(":{theirs}"), &format!(":{ours}"));
        }
        Self { proxy, url }
    }

    /// Breaks, and is well again after the time.
    pub(crate) async fn strike(&self, strike: OnNetwork, time: Duration) {
        let set = |broken: bool| match strike {
            OnNetwork::Latency(by) => self.proxy.slow_down(if broken { by } else { Duration::ZERO }),
            OnNetwork::Narrow(bytes) => self.proxy.narrow(if broken { bytes } else { 0 }),
            OnNetwork::BlackHole => self.proxy.swallow(broken),
            OnNetwork::HalfOpen => self.proxy.mute(broken),
            OnNetwork::Refuse => self.proxy.refuse(broken),
            OnNetwork::Reset if broken => self.proxy.sever_all(),
            OnNetwork::Reset => {}
        };
        set(true);
        if strike != OnNetwork::Reset {
            tokio::time::sleep(time).await;
        }
        set(false);
    }
}

/// A worker's name and place, whichever process is in it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) network: Network,
    partitions: u16,
    ledger: PathBuf,
    log: PathBuf,
    process: Process,
}

impl Worker {
    pub(crate) fn start(name: String, network: Network, partitions: u16, ledger: &Path) -> Self {
        let log = ledger.with_file_name(format!("{name}.log"));
        let process = spawn(&name, &network, partitions, ledger, &log);
        Self {
            name,
            network,
            partitions,
            ledger: ledger.to_owned(),
            log,
            process,
        }
    }

    /// # Panics
    /// If a process ends otherwise than it was told to.
    pub(crate) async fn strike(&mut self, strike: OnWorker) {
        assert!(self.process.try_wait().is_none(), "{} ended by itself", self.name);
        let away = match strike {
            OnWorker::Stop(time) => {
                self.process.freeze();
                tokio::time::sleep(time).await;
                self.process.thaw();
                return;
            }
            OnWorker::Kill(away) => {
                self.process.kill();
                away
            }
            OnWorker::HandOver(away) => {
                self.end();
                away
            }
        };
        tokio::time::sleep(away).await;
        self.process = spawn(&self.name, &self.network, self.partitions, &self.ledger, &self.log);
    }

    /// Has it hand over what it holds.
    ///
    /// # Panics
    /// If it doesn't.
    pub(crate) fn end(&mut self) {
        self.process.terminate();
        let status = tokio::task::block_in_place(|| self.process.wait(SOON));
        assert!(status.success(), "{} ended with {status}", self.name);
    }
}

fn spawn(name: &str, network: &Network, partitions: u16, ledger: &Path, log: &Path) -> Process {
    let log = File::options().append(true).create(true).open(log);
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos-worker"));
    command
        .args([name, &network.url, &partitions.to_string()])
        .arg(ledger)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.expect("a worker's log"));
    Process::spawn(command)
}
