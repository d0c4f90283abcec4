//! TLS on every topology: what works, what is refused, and how that is told.

use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

use streamherd::error::ConnectError;
use streamherd::{Builder, Tls};
use streamherd_testkit::{Certificates, Cluster, Sentinels, Server, eventually};
use streamherd_tests::{SOON, Worker, builder, names};

fn trusting(certificates: &Certificates) -> Tls {
    Tls::new().ca_file(certificates.authority())
}

fn known(certificates: &Certificates) -> Tls {
    trusting(certificates).client_certificate(certificates.client_certificate(), certificates.client_key())
}

/// Submits to each partition, works on it all, and hears a lock expire: commands, reads and subscriptions.
async fn works(made: impl Fn() -> Builder) {
    let producer = made().connect_producer().await.unwrap();
    let mut worker = Worker::with(made()).await;
    let all = names("s", 20);
    for result in producer.submit_many(all.iter().map(|name| (name, ()))).await {
        result.unwrap();
    }
    for _ in &all {
        worker.added().await.done().await.unwrap();
    }
    let admin = made().connect_admin().await.unwrap();
    assert_eq!(admin.status().await.unwrap().service, streamherd_tests::SERVICE);
    eventually(SOON, "it listens", || {
        let listens = worker.client.health().listening;
        async move { listens.then_some(()) }
    })
    .await;
    producer.close().await;
    worker.client.shutdown(Duration::from_secs(1)).await;
}

async fn refused(builder: Builder) -> ConnectError {
    match builder.connect().await {
        Ok((client, _)) => panic!("{client:?} started"),
        Err(error) => error,
    }
}

/// Has servers that run show this certificate from now on.
fn show<'s>(servers: impl IntoIterator<Item = &'s Server>, (certificate, key): &(PathBuf, PathBuf)) {
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    for server in servers {
        let set = ["CONFIG", "SET", "tls-cert-file", &certificate, "tls-key-file", &key];
        server.client().call(&set).ok();
    }
}

fn at_localhost(url: &str) -> String {
    url.replace("127.0.0.1", "localhost")
}

#[tokio::test]
async fn a_server_is_trusted_by_the_file_of_its_authority() {
    let server = Server::builder().tls().start();
    let tls = trusting(server.certificates().unwrap());
    works(|| builder(&server.url()).tls(tls.clone())).await;
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_is_shown_one() {
    let server = Server::builder().require_client_certificate().start();
    let tls = known(server.certificates().unwrap());
    works(|| builder(&server.url()).tls(tls.clone())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_speaks_tls_and_wants_certificates() {
    let cluster = Cluster::builder()
        .replicas_per_master(0)
        .require_client_certificate()
        .start();
    let tls = known(cluster.node(0).certificates().unwrap());
    works(|| builder(&cluster.url()).partitions(6).tls(tls.clone())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_speak_tls_and_want_certificates() {
    let sentinels = Sentinels::builder().require_client_certificate().start();
    let tls = known(sentinels.server(0).certificates().unwrap());
    works(|| builder(&sentinels.url()).partitions(2).tls(tls.clone())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_followed_over_tls() {
    let mut sentinels = Sentinels::builder().tls().start();
    let tls = trusting(sentinels.server(0).certificates().unwrap());
    let made = || builder(&sentinels.url()).tls(tls.clone());
    let mut worker = Worker::with(made()).await;
    let producer = made().connect_producer().await.unwrap();
    let replica = sentinels.replica();
    sentinels.kill_primary();
    sentinels.wait_for_promotion(replica);
    eventually(SOON, "the new primary takes a submit", || async {
        producer.submit("s", &()).await.ok()
    })
    .await;
    worker.added().await.done().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_known_by_address_may_show_a_certificate_for_the_name_in_the_url() {
    let cluster = Cluster::builder().replicas_per_master(0).tls().start();
    let certificates = cluster.node(0).certificates().unwrap().clone();
    show(
        (0..cluster.len()).map(|node| cluster.node(node)),
        &certificates.sign(&["localhost"]),
    );
    let made = |url: &str| builder(url).partitions(6).tls(trusting(&certificates));
    works(|| made(&at_localhost(&cluster.url()))).await;
    // Whoever names addresses wants them certified.
    let error = refused(made(&cluster.url())).await;
    assert!(
        matches!(&error, ConnectError::Tls { advice, .. } if advice.contains("not for this host")),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_may_show_a_certificate_for_the_name_that_they_announce() {
    let cluster = Cluster::builder()
        .replicas_per_master(0)
        .arg("--cluster-announce-hostname", "redis.test")
        .tls()
        .start();
    let certificates = cluster.node(0).certificates().unwrap().clone();
    let others = (1..cluster.len()).map(|node| cluster.node(node));
    show(others, &certificates.sign(&["redis.test"]));
    let one = format!("rediss-cluster://127.0.0.1:{}", cluster.node(0).port());
    works(|| builder(&one).partitions(6).tls(trusting(&certificates))).await;
    show([cluster.node(0)], &certificates.sign(&["elsewhere.test"]));
    let error = refused(builder(&one).tls(trusting(&certificates))).await;
    assert!(matches!(&error, ConnectError::Tls { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_may_show_a_certificate_for_the_name_of_the_sentinels() {
    let sentinels = Sentinels::builder().tls().start();
    let certificates = sentinels.server(0).certificates().unwrap().clone();
    let servers = [sentinels.server(0), sentinels.server(1)];
    show(servers, &certificates.sign(&["localhost"]));
    let tls = trusting(&certificates);
    works(|| builder(&at_localhost(&sentinels.url())).tls(tls.clone())).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_handshake_is_told_with_what_to_do() {
    let server = Server::builder().tls().start();
    let certificates = server.certificates().unwrap();
    let strangers = Certificates::make().unwrap();
    let picky = Server::builder().require_client_certificate().start();
    let named = Server::builder().tls_with(certificates).start();
    show([&named], &certificates.sign(&["redis.test"]));
    let plain = Server::start();
    let cases = [
        (builder(&server.url()), "ca_file"),
        (builder(&server.url()).tls(trusting(&strangers)), "ca_file"),
        (builder(&named.url()).tls(trusting(certificates)), "not for this host"),
        (
            builder(&picky.url()).tls(trusting(picky.certificates().unwrap())),
            "client_certificate",
        ),
        (
            builder(&picky.url()).tls(
                trusting(picky.certificates().unwrap())
                    .client_certificate(strangers.client_certificate(), strangers.client_key()),
            ),
            "trusts its authority",
        ),
    ];
    for (configured, wanted) in cases {
        let error = refused(configured).await;
        let ConnectError::Tls { address, .. } = &error else {
            panic!("{wanted}: {error:?}");
        };
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
        let cause = error.source().and_then(std::error::Error::source);
        assert!(cause.is_some_and(|cause| !cause.to_string().is_empty()), "{error:?}");
    }
    for url in [
        plain.url().replacen("redis", "rediss", 1),
        server.url().replacen("rediss", "redis", 1),
    ] {
        let error = refused(builder(&url)).await;
        assert!(error.to_string().contains("rediss"), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_file_that_can_not_be_used_is_named_and_nothing_starts() {
    let server = Server::builder().tls().start();
    let made = server.certificates().unwrap();
    let (ca, certificate, key) = (made.authority(), made.client_certificate(), made.client_key());
    let nowhere = PathBuf::from("/no/such/file.pem");
    let cases = [
        ("tls.ca_file", &nowhere, Tls::new().ca_file(&nowhere)),
        ("tls.ca_file", &key, Tls::new().ca_file(&key)),
        (
            "tls.client_certificate",
            &nowhere,
            Tls::new().client_certificate(&nowhere, &key),
        ),
        (
            "tls.client_certificate",
            &key,
            Tls::new().client_certificate(&key, &key),
        ),
        (
            "tls.client_key",
            &nowhere,
            Tls::new().client_certificate(&certificate, &nowhere),
        ),
        (
            "tls.client_key",
            &certificate,
            Tls::new().client_certificate(&certificate, &certificate),
        ),
        ("tls.client_key", &key, Tls::new().client_certificate(&ca, &key)),
    ];
    for (setting, path, tls) in cases {
        let error = refused(builder(&server.url()).tls(tls)).await;
        let ConnectError::Setting(error) = error else {
            panic!("{setting}: {error:?}");
        };
        assert_eq!(error.setting, setting);
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        assert!(!text.contains("PRIVATE"), "{text}");
    }
    let error = refused(builder("redis://127.0.0.1:1").tls(trusting(made))).await;
    assert!(
        matches!(&error, ConnectError::Setting(e) if e.setting == "tls" && e.suggestion.contains("rediss")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_configuration_of_fred_keeps_its_tls() {
    use streamherd::fred::types::config::{Config, Server as At, ServerConfig, TlsConnector};
    let server = Server::builder().tls().start();
    let certificates = server.certificates().unwrap();
    show([&server], &certificates.sign(&["redis.test"]));
    let mut config = Config {
        server: ServerConfig::Centralized {
            server: At::new_with_tls("127.0.0.1", server.port(), Some("redis.test".to_owned())),
        },
        tls: Some(TlsConnector::from(theirs(certificates)).into()),
        ..Config::default()
    };
    works(|| builder("").redis(config.clone())).await;
    let both = builder("").redis(config.clone()).tls(Tls::new());
    assert!(matches!(refused(both).await, ConnectError::Setting(e) if e.setting == "tls"));
    config.server = ServerConfig::new_centralized("127.0.0.1", server.port());
    assert!(matches!(
        refused(builder("").redis(config)).await,
        ConnectError::Tls { .. }
    ));
}

fn theirs(certificates: &Certificates) -> streamherd::fred::rustls::ClientConfig {
    use streamherd::fred::rustls::pki_types::{CertificateDer, pem::PemObject as _};
    use streamherd::fred::rustls::{ClientConfig, RootCertStore, crypto::ring};
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificates.authority()).unwrap())
        .unwrap();
    ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
