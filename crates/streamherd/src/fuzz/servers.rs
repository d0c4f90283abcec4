//! What servers say of themselves and of each other.

use std::collections::HashMap;

use bolero::check;

use super::shape::Text;
use crate::recovery::is_too_old;
use crate::store::{Node, StoreError, merge, of_cluster, of_sentinel};

const SLOTS: [u16; 4] = [0, 5_461, 16_383, 866];

#[test]
fn any_list_of_nodes_is_a_view_of_the_cluster() {
    check!(name = "cluster_nodes")
        .with_iterations(5_000)
        .for_each(is_a_view);
}

#[test]
fn what_looks_like_a_list_of_nodes_is_a_view_of_the_cluster() {
    let pieces = &[
        "\na 127.0.0.1:7001@17001 master - 0 0 3 connected 0-16383",
        "\nb :7002@17002 myself,master - 0 0 4 connected 866",
        "\nc ",
        "::1:7@8",
        ",host",
        "@",
        ":",
        ":0",
        " ",
        "master",
        "slave",
        "myself,",
        "fail",
        "noaddr",
        "handshake",
        " - ",
        " 0 0 ",
        "connected",
        " 5461-5461",
        "[0->-b]",
        "[0-<-b]",
        "-",
        "5-0",
        "\n",
        "\r\n",
        ",",
        "a b c d e f g h i j",
    ];
    check!(name = "cluster_nodes_shaped")
        .with_iterations(10_000)
        .with_generator(Text { pieces, most: 16 })
        .for_each(|text| is_a_view(text));
}

fn is_a_view(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let asked = Node::at("10.0.0.1", 7_001);
    let view = of_cluster(text, &asked, &SLOTS);
    assert_eq!(view.claims.len(), SLOTS.len());
    let lines = text.lines().count();
    assert!(view.others.len() <= lines && view.names.len() <= lines);
    let placed = merge(&[view.clone(), view.clone()], &SLOTS);
    assert_eq!(placed.0.len(), SLOTS.len());
    for (slot, (claim, node)) in SLOTS.iter().zip(view.claims.iter().zip(&placed.0)) {
        assert_eq!(claim.as_ref().map(|claim| &claim.node), node.as_ref(), "{slot}");
        // A second reader: somebody says of the slot that it is a master's.
        assert!(
            claim.is_none() || text.lines().any(|line| line.contains("master") && holds(line, *slot)),
            "{slot}"
        );
    }
    for node in view.others {
        assert!(
            matches!(&node, Node::At { host, port } if *port != 0 && !host.is_empty()),
            "{node}"
        );
    }
}

fn holds(line: &str, slot: u16) -> bool {
    line.split_ascii_whitespace().any(|word| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let bound = |text: &str| text.parse::<u16>().ok();
        bound(first)
            .zip(bound(last))
            .is_some_and(|(first, last)| (first..=last).contains(&slot))
    })
}

#[test]
fn whatever_a_sentinel_says_is_a_primary_or_none() {
    let pieces = &[
        "ip",
        "port",
        "config-epoch",
        "=",
        "\n",
        "127.0.0.1",
        "::1",
        "7001",
        "0",
        "-1",
        "name",
        "mymaster",
    ];
    check!(name = "sentinel")
        .with_iterations(10_000)
        .with_generator(Text { pieces, most: 12 })
        .for_each(|text| {
            let text = String::from_utf8_lossy(text);
            let pairs: HashMap<String, String> = text
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let port = pairs.get("port").and_then(|port| port.parse::<u16>().ok());
            let view = of_sentinel(&pairs, 3);
            assert_eq!(view.is_some(), pairs.contains_key("ip") && port.is_some());
            assert!(view.is_none_or(|view| view.claims.len() == 3 && view.claims.iter().all(Option::is_some)));
        });
}

#[test]
fn any_error_of_a_server_is_of_one_kind_and_has_a_text() {
    let pieces = &[
        "NOGROUP",
        "NOPERM",
        "NOAUTH",
        "WRONGPASS",
        "MOVED 866 ",
        "ASK 866 ",
        "TRYAGAIN",
        "LOADING",
        "OOM ",
        "MISCONF",
        "READONLY",
        "CLUSTERDOWN",
        "127.0.0.1:7",
        "::1:7",
        ":",
        " ",
        "ERR ",
        "unknown command 'EVALSHA'",
        "\u{1b}[2J",
        "'ping'",
        "WRONGTYPE",
        "NOSCRIPT",
        "BUSY",
        "MASTERDOWN",
        "user_script:1: ",
        "@user_script",
        "script: abc",
    ];
    check!(name = "server_error")
        .with_iterations(10_000)
        .with_generator(Text { pieces, most: 6 })
        .for_each(|text| {
            let text = String::from_utf8_lossy(text);
            let error = StoreError::of_entry("settle", &text);
            let shown = error.to_string();
            assert!(
                shown.starts_with("settle: ") && shown.len() <= text.len() + 200,
                "{shown}"
            );
            assert_eq!(error.again().to_string(), shown);
            // A server has answered.
            assert!(
                !error.is_timeout() && !error.is_disconnected() && error.is_certain() | text.contains("CLUSTERDOWN")
            );
            let kinds = [
                error.is_denied(),
                error.is_login(),
                error.is_not_ready(),
                error.is_out_of_memory(),
            ];
            assert!(kinds.iter().filter(|kind| **kind).count() <= 1, "{text}");
        });
}

#[test]
fn any_version_is_too_old_or_not() {
    let pieces = &[
        "6", "6.2", "6.1", "7.0", "7", "2", "0", ".", "10", "255", "-rc1", "v", " ", "valkey",
    ];
    check!(name = "version")
        .with_iterations(10_000)
        .with_generator(Text { pieces, most: 6 })
        .for_each(|text| {
            let text = String::from_utf8_lossy(text);
            let mut parts = text.split('.').map(|part| part.parse::<u64>().ok());
            let known = parts.next().flatten().zip(parts.next().flatten());
            assert_eq!(is_too_old(&text), known.is_some_and(|known| known < (6, 2)), "{text}");
        });
}
