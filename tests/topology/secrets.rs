//! Passwords: that they get in by every way, and get out by none.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use streamherd::{Builder, Credentials};
use streamherd_testkit::{Cluster, Process, Proxy, Sentinels, Server, eventually};
use streamherd_tests::{SOON, builder, patiently};

const WITNESS: &str = env!("CARGO_BIN_EXE_contract-witness");
/// As it is, as it stands in a URL, and the part that a careless parser would cut off.
const SECRET: &str = "hunter2/?#@:% é";
const ENCODED: &str = "hunter2%2F%3F%23%40%3A%25%20%C3%A9";
const ALL: &str = "~* &* +@all";

/// Everything that a client said that did what it can with these arguments; nothing of it may tell the password.
fn said(args: &[&str]) -> String {
    let output = Command::new(WITNESS).args(args).stdin(Stdio::null()).output().unwrap();
    told(args, &output)
}

#[track_caller]
fn told(args: &[&str], output: &Output) -> String {
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(text.contains("over"), "{args:?} ended early: {text}");
    // What the libraries below say is there to be searched, too.
    assert!(text.contains("fred::"), "{args:?}: {text}");
    hides(&text);
    text
}

#[track_caller]
fn hides(text: &str) {
    if let Some(at) = text.find("hunter2") {
        let around = &text.as_bytes()[at.saturating_sub(300)..(at + 300).min(text.len())];
        panic!("it tells the password: …{}…", String::from_utf8_lossy(around));
    }
    // As the bytes of a debug form.
    assert!(!text.contains("104, 117, 110, 116, 101, 114, 50"));
}

/// A URL with this login.
fn with_login(url: &str, login: &str) -> String {
    url.replacen("://", &format!("://{login}@"), 1)
}

/// All that can go wrong with a login at a place that knows the user `worker`, has `hunter2…` as its password, and lets
/// `nobody` do nothing.
fn fails_in_silence(url: &str, options: &[&str]) {
    let logins = [
        "worker:hunter2wrong".to_owned(),
        format!("stranger:{ENCODED}"),
        format!("nobody:{ENCODED}"),
    ];
    for login in logins {
        let mut args = vec![with_login(url, &login)];
        args.extend(options.iter().map(|option| (*option).to_owned()));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let text = said(&args);
        assert!(text.contains("client failed"), "{login}: {text}");
    }
    // The default user has no password here, and takes any.
    said(&[&[with_login(url, &format!(":{ENCODED}")).as_str()], options].concat());
    let password = format!("password={SECRET}");
    let text = said(&[&[url, "user=stranger", &password], options].concat());
    assert!(text.contains("refused the login"), "{text}");
}

#[tokio::test]
async fn a_login_that_fails_on_a_server_does_not_tell_the_password() {
    let server = Server::builder()
        .tls()
        .user("worker", SECRET, ALL)
        .user("nobody", SECRET, "")
        .start();
    let ca = format!("ca={}", server.certificates().unwrap().authority().display());
    fails_in_silence(&server.url(), &[&ca]);
    // A handshake that fails.
    let url = server.url_as("worker");
    assert!(said(&[&url]).contains("did not agree on TLS"));
    // A server that doesn't answer, doesn't exist, or isn't one.
    let plain = Server::start();
    let proxy = Proxy::start(&plain).await;
    proxy.refuse(true);
    for url in [
        proxy.url(),
        "redis://no-such-host.invalid:6379".to_owned(),
        plain.url().replacen("redis", "rediss", 1),
        plain.url().replacen("redis", "redis-cluster", 1),
        format!(
            "{}?sentinelServiceName=x&sentinelPassword={ENCODED}",
            plain.url().replacen("redis", "redis-sentinel", 1)
        ),
    ] {
        assert!(said(&[&with_login(&url, &format!("worker:{ENCODED}"))]).contains("client failed"));
    }
    // What was not encoded, and would be read as something else.
    for url in [
        "redis://worker:1/hunter2@127.0.0.1:6379",
        "redis-cluster://worker:1?hunter2@127.0.0.1:6379",
        "redis-cluster://worker:1#hunter2@127.0.0.1:6379",
    ] {
        let output = Command::new(WITNESS).arg(url).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("percent-encoded"), "{text}");
        hides(&text);
    }
}

#[tokio::test]
async fn a_login_that_fails_on_a_cluster_does_not_tell_the_password() {
    let cluster = Cluster::builder()
        .replicas_per_master(0)
        .user("worker", SECRET, ALL)
        .user("nobody", SECRET, "")
        .start();
    fails_in_silence(&cluster.url(), &[]);
    assert!(!said(&[&cluster.url_as("worker")]).contains("client failed"));
}

#[tokio::test]
async fn a_login_that_fails_at_sentinels_does_not_tell_the_password() {
    let sentinels = Sentinels::builder()
        .user("worker", SECRET, ALL)
        .user("nobody", SECRET, "")
        .start();
    let at_sentinels = |user: &str| format!("{}&sentinelUsername={user}&sentinelPassword={ENCODED}", sentinels.url());
    fails_in_silence(&at_sentinels("worker"), &[]);
    let url = with_login(&at_sentinels("stranger"), &format!("worker:{ENCODED}"));
    assert!(said(&[&url]).contains("refused the login"));
    let url = with_login(&at_sentinels("worker"), &format!("worker:{ENCODED}"));
    assert!(!said(&[&url]).contains("client failed"));
}

#[tokio::test]
async fn a_client_whose_password_is_changed_at_work_does_not_tell_it() {
    let server = Server::builder().tls().user("worker", SECRET, ALL).start();
    let ca = format!("ca={}", server.certificates().unwrap().authority().display());
    let url = server.url_as("worker");
    let args = [url.as_str(), &ca, "wait"];
    let dir = tempfile::tempdir().unwrap();
    let said = dir.path().join("said");
    let open = || File::options().create(true).append(true).open(&said).unwrap();
    let mut command = Command::new(WITNESS);
    command.args(args).stdin(Stdio::piped()).stdout(open()).stderr(open());
    let mut witness = Process::spawn(command);
    let text = || String::from_utf8_lossy(&std::fs::read(&said).unwrap()).into_owned();
    eventually(SOON, "it has connected", || {
        let waits = text().contains("waiting");
        async move { waits.then_some(()) }
    })
    .await;
    let mut redis = server.client();
    redis
        .call(&["ACL", "SETUSER", "worker", "resetpass", ">hunter2new"])
        .ok();
    redis.call(&["CLIENT", "KILL", "USER", "worker"]);
    eventually(SOON, "it has tried to log in again", || {
        let tried = redis
            .cmd("ACL LOG")
            .array()
            .iter()
            .any(|entry| entry.array()[1].int() > 2);
        async move { tried.then_some(()) }
    })
    .await;
    use std::io::Write as _;
    witness.take_stdin().unwrap().write_all(b"\n").unwrap();
    eventually(SOON, "it has ended", || {
        let over = text().contains("\nover\n");
        async move { over.then_some(()) }
    })
    .await;
    let text = text();
    assert!(text.contains("fred::") && text.contains("rustls::"), "{text}");
    hides(&text);
}

async fn logs_in(configured: Builder) {
    patiently(|| configured.clone().command_timeout(SOON).connect_producer()).await;
}

#[tokio::test]
async fn a_password_comes_from_the_url_the_builder_or_a_file() {
    let server = Server::builder()
        .arg("--requirepass", SECRET)
        .user("worker", SECRET, ALL)
        .user("open", "unused", &format!("{ALL} nopass"))
        .start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    for end in ["", "\n", "\r\n"] {
        std::fs::write(&file, format!("{SECRET}{end}")).unwrap();
        logs_in(builder(&server.url()).credentials(Credentials::new().user("worker").password_file(&file))).await;
    }
    let url = |login: &str| with_login(&server.url(), login);
    let password = || Credentials::new().password(SECRET);
    logs_in(builder(&server.url_as("worker"))).await;
    // Without a user it is the default one.
    logs_in(builder(&url(&format!(":{ENCODED}")))).await;
    logs_in(builder(&server.url()).credentials(password())).await;
    // The user stands in the URL and the password elsewhere; and what the builder says counts.
    logs_in(builder(&url("worker")).credentials(password())).await;
    logs_in(builder(&url("stranger:wrong")).credentials(password().user("worker"))).await;
    // A user without a password is that user, and nobody else.
    logs_in(builder(&url("open"))).await;
    let error = builder(&url("worker")).connect().await.err().unwrap();
    assert!(error.to_string().contains("refused the login"), "{error}");
    std::fs::write(&file, "\n").unwrap();
    for path in [file.as_path(), Path::new("/no/such/file")] {
        let login = Credentials::new().password_file(path);
        let error = builder(&server.url()).credentials(login).connect().await.err().unwrap();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}
