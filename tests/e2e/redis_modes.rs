//! Redis over TLS, behind Sentinels, as a cluster.

use crate::support::authority::Authority;
use crate::support::gateway::Gateway;
use crate::support::ports::free_port;
use crate::support::redis::{Redis, until_up};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{Registered, World, until_status};

const LIMITED: &str = "
routes:
  /closed/**:
    service: user-service
    filters: [ { rate_limit: { key: 'header:x-key', requests: 5, per: 1h, store: redis, on_failure: closed } } ]
  /free/**: user-service
";

async fn gateway(redis: &str) -> (World, Upstream, Registered, Gateway) {
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let registered = world.register("user-service", upstream.address()).await;
    world.publish(LIMITED).await;
    let settings = format!("redis: {{ timeout: 1s, {redis} }}");
    let gateway = world.gateway_with(&settings).await.ready().await;
    until_status(&gateway.url("/free/1"), 200).await;
    (world, upstream, registered, gateway)
}

/// How requests of a key are answered.
async fn ask(gateway: &Gateway, key: &str, requests: usize) -> Vec<u16> {
    let client = reqwest::Client::new();
    let mut answers = Vec::new();
    for _ in 0..requests {
        let asked = client.get(gateway.url("/closed/1")).header("x-key", key);
        let answer = asked.send().await.expect("an answer");
        answers.push(answer.status().as_u16());
    }
    answers
}

const COUNTED: [u16; 6] = [200, 200, 200, 200, 200, 429];

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_each_knows_the_other() {
    let authority = Authority::new();
    authority.issue("redis", &["localhost"]);
    authority.issue_client("gateway", "gateway", "urn:gateway");
    let port = free_port().to_string();
    let path = |name: &str| authority.path(name).display().to_string();
    let (cert, key, ca) = (path("redis.crt"), path("redis.key"), path("ca.crt"));
    let args = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "yes",
    ];
    let _redis = Redis::start_with(&args).await;
    let files = format!(
        "tls_ca_file: {ca}, tls_cert_file: {}, tls_key_file: {}",
        path("gateway.crt"),
        path("gateway.key")
    );
    let named = |host: &str, files: &str| format!("servers: ['{host}:{port}'], tls: true, {files}");
    let (_w, _u, _r, good) = gateway(&named("localhost", &files)).await;
    until_up(&good, true).await;
    assert_eq!(ask(&good, "a", 6).await, COUNTED);
    // The certificate is for another name, the server is not believed, or asks who we are.
    for bad in [
        named("127.0.0.1", &files),
        named("localhost", ""),
        named("localhost", &format!("tls_ca_file: {ca}")),
    ] {
        let (_w, _u, _r, gateway) = gateway(&bad).await;
        gateway.logged(&["Redis cannot be asked", "WARN"]).await;
        assert_eq!(ask(&gateway, "b", 1).await, [503], "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_name_the_master_and_its_successor() {
    let mut master = Redis::start().await;
    let port = master.port().to_string();
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &port]).await;
    let sentinel = Redis::sentinel(&master).await;
    until("the sentinel to know the replica", async || {
        let info: String = sentinel.ask(&["INFO", "sentinel"]).await;
        info.contains("slaves=1").then_some(())
    })
    .await;
    until("the replica to follow", async || {
        let info: String = replica.ask(&["INFO", "replication"]).await;
        info.contains("master_link_status:up").then_some(())
    })
    .await;
    // The first one is not there.
    let gone = free_port();
    let servers = format!(
        "servers: ['127.0.0.1:{gone}', '{}'], mode: sentinel, master: shop",
        sentinel.address()
    );
    let (_w, _u, _r, gateway) = gateway(&servers).await;
    until_up(&gateway, true).await;
    assert_eq!(ask(&gateway, "a", 6).await, COUNTED);
    master.kill().await;
    until_up(&gateway, false).await;
    until_up(&gateway, true).await;
    let keys: Vec<String> = replica.ask(&["KEYS", "pailou:*"]).await;
    assert!(keys.contains(&"pailou:gateways".to_owned()), "{keys:?}");
    until("requests to be counted by the successor", async || {
        (ask(&gateway, "b", 6).await.ends_with(&[429])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_has_the_keys_on_all_its_nodes() {
    let mut nodes = Vec::new();
    for slots in [["0", "8191"], ["8192", "16383"]] {
        let node = Redis::start_with(&["--cluster-enabled", "yes"]).await;
        let _: () = node
            .ask(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]])
            .await;
        nodes.push(node);
    }
    let port = nodes[1].port().to_string();
    let _: () = nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port]).await;
    for node in &nodes {
        until("the cluster to be whole", async || {
            let info: String = node.ask(&["CLUSTER", "INFO"]).await;
            info.contains("cluster_state:ok").then_some(())
        })
        .await;
    }
    // The first of the nodes leads to the others.
    let servers = format!("servers: ['{}'], mode: cluster", nodes[0].address());
    let (_w, _u, _r, gateway) = gateway(&servers).await;
    until_up(&gateway, true).await;
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        assert_eq!(ask(&gateway, key, 6).await, COUNTED, "{key}");
    }
    for node in &nodes {
        let keys: Vec<String> = node.ask(&["KEYS", "pailou:rate_limit:*"]).await;
        assert!(!keys.is_empty(), "each node has some");
    }
}
