//! One server, with a clock of its own.

use std::thread::sleep;
use std::time::Duration;

use streamherd_testkit::Server;

use super::{Hit, Stage, all};
use crate::schedule::OnServers;

pub(super) struct Standalone {
    server: Server,
    ahead: Duration,
}

pub(super) fn start() -> Standalone {
    // What it acknowledged is in the file by then, and survives its process.
    let server = Server::builder().persistent().arg("--appendfsync", "no").own_clock();
    Standalone {
        server: server.start(),
        ahead: Duration::ZERO,
    }
}

impl Stage for Standalone {
    fn url(&self) -> String {
        self.server.url()
    }

    fn partitions(&self) -> u16 {
        2
    }

    fn servers(&self) -> Vec<&Server> {
        vec![&self.server]
    }

    fn watchers(&self) -> Vec<&Server> {
        Vec::new()
    }

    fn home(&self, _: u16) -> usize {
        0
    }

    fn freeze(&mut self, _: usize) {
        self.server.freeze();
    }

    fn thaw(&mut self, _: usize) {
        self.server.thaw();
    }

    fn special(&mut self, strike: OnServers) -> Hit {
        match strike {
            OnServers::Restart(away) => {
                self.server.kill();
                sleep(away);
                self.server.restart();
                all(true)
            }
            OnServers::RestartEmpty(_, away) => {
                self.server.kill();
                sleep(away);
                self.server.restart_empty();
                all(true)
            }
            OnServers::ClockAhead(by) => {
                // Never back: tokens grow only as far as clocks do, once the last token is lost.
                self.ahead += by;
                self.server.set_clock(self.ahead, Duration::ZERO);
                all(true)
            }
            other => panic!("one server can't go through {other:?}"),
        }
    }
}
