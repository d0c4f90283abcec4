use fred::error::ErrorKind;

use super::*;

#[test]
fn a_call_on_a_connection_that_was_given_up_may_have_been_carried_out() {
    let given_up = FredError::new(ErrorKind::Unknown, "channel closed");
    let error = StoreError::new("submit", given_up);
    assert!(error.is_disconnected() && !error.is_certain());
    let told_to_all = FredError::new(ErrorKind::Cluster, "CLUSTERDOWN The cluster is down");
    assert!(!StoreError::new("submit", told_to_all).is_certain());
    let not_sent = FredError::new(ErrorKind::Canceled, "Connection closed unexpectedly.");
    assert!(StoreError::new("submit", not_sent).is_certain());
}

#[test]
fn what_a_server_says_stays_in_its_line() {
    let said = "ERR no\r\nforged \u{1b}[2J\u{9b}m\u{202e} 'it''s' \"\\ü";
    let shown = "ERR no\\r\\nforged \\u{1b}[2J\\u{9b}m\\u{202e} 'it''s' \"\\ü";
    let error = StoreError::of_entry("settle", said);
    assert_eq!(error.to_string(), format!("settle: Redis refused: {shown}"));
    let error = StoreError::new("settle", FredError::new(ErrorKind::Unknown, said));
    assert_eq!(error.source.unwrap().to_string(), shown);
    for text in ["NOPERM", "LOADING"] {
        let error = StoreError::of_entry("read", &format!("{text} {said}"));
        let source = FredError::new(ErrorKind::Unknown, format!("{text} {said}"));
        let whole = StoreError::new("read", source);
        assert!(whole.to_string().contains(shown) && error.to_string().lines().count() == 1);
    }
}

#[test]
fn a_redirection_says_where_to_ask() {
    let says = |text: &str| StoreError::new("renew", FredError::new(ErrorKind::Cluster, text.to_owned()));
    let ask = says("ASK 5 127.0.0.1:7003");
    assert_eq!(ask.asks(), Some(Node::at("127.0.0.1", 7003)));
    assert!(ask.is_migrating() && ask.is_transient() && !ask.is_moved());
    let moved = says("MOVED 5 127.0.0.1:7003");
    assert!(moved.is_moved() && moved.is_misplaced() && moved.is_certain() && moved.asks().is_none());
}
