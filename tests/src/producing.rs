//! What producers did and what they know.

use std::collections::BTreeMap;
use std::time::Duration;

use streamherd_testkit::{Fault, Matcher};

use crate::{Proxied, Redis, SOON, field};

/// How often each stream is among entries.
#[must_use]
pub fn by_name(entries: &[(String, Vec<(String, String)>)]) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for (_, fields) in entries {
        let input: serde_json::Value = serde_json::from_str(field(fields, "lbs-input")).expect("JSON");
        let name = input["DataStreamName"].as_str().expect("a name").to_owned();
        *names.entry(name).or_insert(0) += 1;
    }
    names
}

/// Waits until a producer behind the proxy, which keeps what it submits, knows of everything that is so now in the partition
/// of a stream.
pub async fn has_looked(proxy: &Proxied, server: &Redis, stream: &str) {
    // The second look is sent when the first one, which is sent after this, was answered.
    let look = server.at_home(stream, Matcher::script("kept"));
    let second = proxy.on(look, 2, Fault::Delay(Duration::from_millis(1)));
    second.wait_fired(SOON).await;
}
