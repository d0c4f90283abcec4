use std::sync::mpsc;
use std::time::{Duration, Instant};

use streamherd_testkit::{Fault, Matcher, Process, Proxy, RawClient, Reply, Server, eventually_blocking};
use tokio::sync::oneshot;

use crate::{SOON, pipeline, through};

#[tokio::test]
async fn a_swallowed_reply_was_still_executed() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let fault = proxy.on(Matcher::command("incr"), 1, Fault::SwallowReply);
    let mut client = through(&proxy);
    client.cmd("PING").ok();
    assert!(!fault.fired());
    assert!(client.try_call(&["INCR", "n"]).is_err());
    assert!(fault.fired());
    fault.wait_fired(SOON).await;
    assert_eq!(server.client().cmd("GET n").int(), 1);
    assert_eq!(through(&proxy).cmd("INCR n").int(), 2, "a fault happens once");
}

#[tokio::test]
async fn only_the_nth_reply_of_a_pipeline_is_swallowed() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let fault = proxy.on(Matcher::command("INCR"), 3, Fault::SwallowReply);
    let mut client = through(&proxy);
    pipeline(
        &mut client,
        &[
            "INCR n",
            "XRANGE none - +",
            "INCR n",
            "GET none",
            "INCR n",
            "INCR n",
            "PING",
        ],
    );
    assert_eq!(client.receive().unwrap(), Reply::Int(1));
    assert_eq!(client.receive().unwrap(), Reply::Array(vec![]));
    assert_eq!(client.receive().unwrap(), Reply::Int(2));
    assert_eq!(client.receive().unwrap(), Reply::Nil);
    assert!(client.receive().is_err());
    assert!(fault.fired());
    assert_eq!(
        server.client().cmd("GET n").int(),
        3,
        "nothing behind the fault is forwarded"
    );
}

#[tokio::test]
async fn matches_are_counted_over_all_connections() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    proxy.on(Matcher::command("INCR"), 2, Fault::DropRequest);
    let (mut one, mut other) = (through(&proxy), through(&proxy));
    assert_eq!(one.cmd("INCR n").int(), 1);
    assert!(other.try_call(&["INCR", "n"]).is_err());
    assert_eq!(one.cmd("INCR n").int(), 2, "the other connection goes on");
}

#[tokio::test]
async fn a_dropped_request_was_not_executed_and_earlier_replies_arrive() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let fault = proxy.on(Matcher::command("SET"), 1, Fault::DropRequest);
    let mut client = through(&proxy);
    pipeline(&mut client, &["INCR n", "INCR n", "SET n 100", "INCR n"]);
    assert_eq!(client.receive().unwrap(), Reply::Int(1));
    assert_eq!(client.receive().unwrap(), Reply::Int(2));
    assert!(client.receive().is_err());
    assert!(fault.fired());
    assert_eq!(server.client().cmd("GET n").int(), 2);
    assert_eq!(proxy.seen(), ["INCR", "INCR", "SET"]);
}

#[tokio::test]
async fn two_faults_at_one_request_happen_one_after_the_other() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let dropped = proxy.on(Matcher::any(), 1, Fault::DropRequest);
    let swallowed = proxy.on(Matcher::command("INCR"), 1, Fault::SwallowReply);
    assert!(through(&proxy).try_call(&["INCR", "n"]).is_err());
    assert!(dropped.fired() && !swallowed.fired());
    assert!(through(&proxy).try_call(&["INCR", "n"]).is_err());
    assert!(swallowed.fired());
    assert_eq!(server.client().cmd("GET n").int(), 1);
}

#[tokio::test]
async fn a_delayed_request_holds_what_is_behind_it() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let delay = Duration::from_millis(200);
    let fault = proxy.on(Matcher::command("SET"), 1, Fault::Delay(delay));
    let mut client = through(&proxy);
    let started = Instant::now();
    pipeline(&mut client, &["INCR before", "SET k v", "INCR after"]);
    assert_eq!(client.receive().unwrap(), Reply::Int(1));
    fault.wait_fired(SOON).await;
    let mut redis = server.client();
    assert!(redis.cmd("GET k").is_nil() || started.elapsed() >= delay);
    assert_eq!(through(&proxy).cmd("PING").text(), "PONG");
    assert_eq!(client.receive().unwrap().text(), "OK");
    assert!(started.elapsed() >= delay);
    assert_eq!(client.receive().unwrap(), Reply::Int(1));
}

#[tokio::test]
async fn a_held_request_and_what_is_behind_it_wait_until_they_are_let_go() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let (release, held) = oneshot::channel();
    let fault = proxy.on(Matcher::command("SET"), 1, Fault::HoldUntil(held));
    let mut client = through(&proxy);
    pipeline(&mut client, &["INCR before", "SET k v", "INCR after"]);
    assert_eq!(client.receive().unwrap(), Reply::Int(1));
    fault.wait_fired(SOON).await;
    assert_eq!(through(&proxy).cmd("EXISTS k after").int(), 0);
    release.send(()).unwrap();
    assert_eq!(client.receive().unwrap().text(), "OK");
    assert_eq!(client.receive().unwrap(), Reply::Int(1));
}

#[tokio::test]
async fn a_held_reply_was_executed_and_what_is_behind_it_waits_with_it() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let (release, held) = oneshot::channel();
    let fault = proxy.on(Matcher::command("SET"), 1, Fault::HoldReplyUntil(held));
    let mut client = through(&proxy);
    pipeline(&mut client, &["INCR before", "SET k v", "INCR after"]);
    assert_eq!(client.receive().unwrap(), Reply::Int(1));
    fault.wait_fired(SOON).await;
    assert_eq!(server.client().cmd("EXISTS k").int(), 1);
    client.set_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(client.receive().is_err(), "nothing comes past it");
    client.set_timeout(Some(SOON)).unwrap();
    release.send(()).unwrap();
    assert_eq!(client.receive().unwrap().text(), "OK");
    assert_eq!(client.receive().unwrap(), Reply::Int(1));
    assert_eq!(client.cmd("INCR after").int(), 2, "the connection goes on");
}

#[tokio::test]
async fn a_delayed_request_arrives_even_if_its_client_is_gone() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let fault = proxy.on(Matcher::command("SET"), 1, Fault::Delay(Duration::from_millis(100)));
    let mut client = through(&proxy);
    client.send(&["SET", "k", "v"]).unwrap();
    fault.wait_fired(SOON).await;
    drop(client);
    let mut redis = server.client();
    eventually_blocking(SOON, "the late SET arrives", || {
        (!redis.cmd("GET k").is_nil()).then_some(())
    });
}

#[tokio::test]
async fn the_hook_before_kills_the_client_whose_request_is_never_executed() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let (worker_sender, worker) = mpsc::channel::<Process>();
    let (sender, killed) = mpsc::channel();
    let fault = proxy.on(
        Matcher::command("SET"),
        1,
        Fault::Before(Box::new(move || {
            let mut worker = worker.recv_timeout(SOON).unwrap();
            worker.kill();
            sender.send(worker.wait(SOON)).unwrap();
        })),
    );
    // Only now: a worker that runs already could be faster than the arming.
    let worker = spawn_client(&proxy, "INCR n\nINCR n\nSET n 100\n");
    worker_sender.send(worker).unwrap();
    fault.wait_fired(SOON).await;
    assert!(!killed.recv_timeout(SOON).unwrap().success());
    assert_eq!(server.client().cmd("GET n").int(), 2);
}

#[tokio::test]
async fn the_hook_after_runs_when_the_request_is_executed_and_its_reply_is_lost() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let mut redis = server.client();
    let (sender, observed) = mpsc::channel();
    let fault = proxy.on(
        Matcher::command("INCR"),
        2,
        Fault::After(Box::new(move || sender.send(redis.cmd("GET n").int()).unwrap())),
    );
    let mut client = through(&proxy);
    pipeline(&mut client, &["INCR n", "INCR n"]);
    assert_eq!(client.receive().unwrap(), Reply::Int(1));
    assert!(client.receive().is_err());
    assert!(fault.fired());
    assert_eq!(observed.recv_timeout(SOON).unwrap(), 2);
}

#[tokio::test]
async fn a_reply_is_swallowed_even_if_the_client_gave_up_waiting() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let fault = proxy.on(Matcher::command("BLPOP"), 1, Fault::SwallowReply);
    let mut client = through(&proxy);
    client.send(&["BLPOP", "list", "0"]).unwrap();
    let mut redis = server.client();
    let blocked = |redis: &mut RawClient| redis.cmd("INFO clients").text().contains("blocked_clients:1");
    eventually_blocking(SOON, "BLPOP blocks", || blocked(&mut redis).then_some(()));
    drop(client);
    redis.cmd("RPUSH list a").ok();
    fault.wait_fired(SOON).await;
    assert_eq!(redis.cmd("LLEN list").int(), 0);
}

#[tokio::test]
async fn only_requests_about_something_are_counted() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let fault = proxy.on(Matcher::command("SET").about("{b}:"), 2, Fault::DropRequest);
    let mut client = through(&proxy);
    for line in ["SET {a}:x 1", "SET {b}:x 1", "GET {b}:x", "SET {a}:y 1", "SET {bb}:x 1"] {
        client.cmd(line).ok();
    }
    assert!(!fault.fired());
    assert!(client.try_call(&["SET", "{b}:y", "1"]).is_err());
    assert!(fault.fired());
}

#[tokio::test]
async fn a_custom_matcher_sees_the_arguments() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    proxy.on(
        Matcher::custom(|command| command.args().get(1).is_some_and(|key| key == b"b")),
        1,
        Fault::DropRequest,
    );
    let mut client = through(&proxy);
    client.cmd("INCR a").ok();
    assert!(client.try_call(&["INCR", "b"]).is_err());
}

/// A client in a process of its own: bash, because it can open a TCP connection and is everywhere the tests run.
fn spawn_client(proxy: &Proxy, commands: &str) -> Process {
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{}; printf '%s' '{commands}' >&3; cat <&3",
        proxy.port()
    );
    let mut command = std::process::Command::new("bash");
    command.args(["-c", &script]).stdout(std::process::Stdio::null());
    Process::spawn(command)
}

#[tokio::test]
async fn a_mute_network_passes_requests_and_no_replies() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let mut client = through(&proxy);
    assert_eq!(client.cmd("INCR n").int(), 1);
    proxy.mute(true);
    client.set_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(client.try_call(&["INCR", "n"]).is_err());
    eventually_blocking(SOON, "the request was carried out", || {
        (server.client().cmd("GET n").int() == 2).then_some(())
    });
    proxy.mute(false);
    assert!(
        client.try_call(&["INCR", "n"]).is_err(),
        "it lost a reply, and would take the next for it"
    );
    assert_eq!(through(&proxy).cmd("GET n").int(), 3, "and still it is heard");
}

#[tokio::test]
async fn a_narrow_network_takes_its_time() {
    let server = Server::start();
    let proxy = Proxy::start(&server).await;
    let mut client = through(&proxy);
    let value = "x".repeat(2_000);
    client.call(&["SET", "k", &value]).ok();
    proxy.narrow(10_000);
    let started = Instant::now();
    assert_eq!(client.cmd("GET k").text(), value);
    assert!(started.elapsed() >= Duration::from_millis(200), "2 kB at 10 kB/s");
    proxy.narrow(0);
    assert_eq!(client.cmd("GET k").text(), value);
}
