use streamherd_testkit::{Cluster, Fault, Matcher, Proxy, RawClient, Reply, Sentinels, Server};

#[tokio::test]
async fn nobody_in_a_cluster_leads_clients_past_the_proxy() {
    let cluster = Cluster::builder().replicas_per_master(0).start();
    let (home, key) = (cluster.owner_of("a"), "a");
    let others: Vec<&Server> = (0..3).filter(|n| *n != home).map(|n| cluster.node(n)).collect();
    let proxy = Proxy::in_front_of(&[cluster.node(home)], &others).await;
    let before = |server: &Server| RawClient::connect(("127.0.0.1", proxy.port_to(server))).unwrap();

    let Reply::Error(moved) = before(others[0]).call(&["GET", key]) else {
        panic!("it has not the key");
    };
    assert!(moved.ends_with(&format!("127.0.0.1:{}", proxy.port())), "{moved}");
    let nodes = before(others[1]).cmd("CLUSTER NODES").text();
    let slots = before(others[1]).cmd("CLUSTER SLOTS").array();
    for node in 0..3 {
        let front = proxy.port_to(cluster.node(node));
        assert!(nodes.contains(&format!("127.0.0.1:{front}@")), "{nodes}");
        let told = |range: &Reply| range.array()[2].array()[1].int() == i64::from(front);
        assert!(slots.iter().any(told), "{slots:?}");
    }

    let loss = proxy.on(Matcher::command("SET"), 1, Fault::SwallowReply);
    assert!(before(others[0]).call(&["SET", key, "1"]).is_error());
    assert!(!loss.fired(), "only the watched one is put through faults");
    assert!(before(cluster.node(home)).try_call(&["SET", key, "1"]).is_err());
    assert!(loss.fired());
    assert_eq!(proxy.seen(), ["SET"]);
}

#[tokio::test]
async fn sentinels_lead_clients_to_the_proxy() {
    let sentinels = Sentinels::start();
    let primary = sentinels.server(0);
    let others: Vec<&Server> = (0..3).map(|n| sentinels.sentinel(n)).collect();
    let proxy = Proxy::in_front_of(&[primary], &others).await;
    let mut client = RawClient::connect(("127.0.0.1", proxy.port_to(others[0]))).unwrap();
    let found = client.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinels.service()]);
    assert_eq!(found.strings(), ["127.0.0.1", &proxy.port().to_string()]);
    let known = client.call(&["SENTINEL", "SENTINELS", sentinels.service()]).array();
    for other in &others[1..] {
        let front = proxy.port_to(other).to_string();
        assert!(known.iter().any(|row| row.strings().contains(&front)), "{known:?}");
    }
}
