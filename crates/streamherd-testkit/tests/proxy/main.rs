//! The proxy: what passes through it, and what it makes go wrong.

mod faults;
mod passing;
mod topologies;

use std::time::Duration;

use streamherd_testkit::{Proxy, RawClient};

const SOON: Duration = Duration::from_secs(10);
const SETTLE: &str = "-- streamherd:settle\nreturn redis.call('INCR', KEYS[1])";

fn through(proxy: &Proxy) -> RawClient {
    RawClient::connect(("127.0.0.1", proxy.port())).unwrap()
}

/// Sends the commands without waiting for replies in between.
fn pipeline(client: &mut RawClient, lines: &[&str]) {
    for line in lines {
        let args: Vec<_> = line.split_whitespace().collect();
        client.send(&args).unwrap();
    }
}
