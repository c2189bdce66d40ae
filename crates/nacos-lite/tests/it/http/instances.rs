//! Instances over HTTP.

use super::*;

#[tokio::test]
async fn an_instance_lives_by_query_or_by_form() {
    let http = Http::start(Options::default()).await;
    let service = "serviceName=orders&ip=10.0.0.1&port=80";
    for (query, form) in [(format!("?{service}"), ""), (String::new(), service)] {
        let answer = http
            .ask(&format!("POST /v1/ns/instance{query}"), form)
            .await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "ok"));
        assert_eq!(
            http.hosts("serviceName=orders").await,
            [("10.0.0.1".to_owned(), true, 1.0)]
        );
        assert_eq!(
            http.ask(&format!("DELETE /v1/ns/instance{query}"), form)
                .await
                .body,
            "ok"
        );
        assert_eq!(http.hosts("serviceName=orders").await, []);
    }
}

#[tokio::test]
async fn the_list_has_the_shape_of_version_1() {
    let http = Http::start(Options::default()).await;
    let query =
        "serviceName=G%40%40orders&ip=10.0.0.1&port=80&weight=2.5&metadata=%7B%22a%22%3A1%7D";
    http.ask(&format!("POST /v1/ns/instance?{query}"), "").await;
    let mut list = http
        .ask(
            "GET /v1/ns/instance/list?serviceName=orders&groupName=G",
            "",
        )
        .await
        .json();
    assert!(list["lastRefTime"].take().is_i64());
    let host = json!({
        "instanceId": "10.0.0.1#80#DEFAULT#G@@orders", "ip": "10.0.0.1", "port": 80, "weight": 2.5, "healthy": true,
        "enabled": true, "ephemeral": true, "clusterName": "DEFAULT", "serviceName": "G@@orders",
        "metadata": {"a": "1"}, "instanceHeartBeatInterval": 5000, "instanceHeartBeatTimeOut": 15000,
        "ipDeleteTimeout": 30000,
    });
    let expected = json!({
        "name": "G@@orders", "groupName": "G", "clusters": "", "cacheMillis": 10000, "hosts": [host],
        "lastRefTime": null, "checksum": "", "allIps": false, "reachProtectionThreshold": false, "valid": true,
    });
    assert_eq!(list, expected);
    let one = http
        .ask(
            "GET /v1/ns/instance?serviceName=G@@orders&ip=10.0.0.1&port=80",
            "",
        )
        .await
        .json();
    let expected = json!({
        "service": "G@@orders", "ip": "10.0.0.1", "port": 80, "clusterName": "DEFAULT", "weight": 2.5,
        "healthy": true, "instanceId": "10.0.0.1#80#DEFAULT#G@@orders", "metadata": {"a": "1"},
    });
    assert_eq!(one, expected);
    let page = http
        .ask(
            "GET /v1/ns/service/list?pageNo=1&pageSize=5&groupName=G",
            "",
        )
        .await
        .json();
    assert_eq!(page, json!({"count": 1, "doms": ["orders"]}));
}

#[tokio::test]
async fn the_list_filters_by_cluster_and_health() {
    let http = Http::start(Options::default()).await;
    for (ip, cluster, healthy) in [("1", "A", "true"), ("2", "A", "false"), ("3", "B", "True")] {
        let query = format!("serviceName=s&ip={ip}&port=1&clusterName={cluster}&healthy={healthy}");
        http.ask(&format!("POST /v1/ns/instance?{query}"), "").await;
    }
    for (filter, expected) in [
        ("", vec!["1", "2", "3"]),
        ("&clusters=A", vec!["1", "2"]),
        ("&clusters=A,B&healthyOnly=true", vec!["1", "3"]),
        ("&namespaceId=dev", vec![]),
        ("&namespaceId=public", vec!["1", "2", "3"]),
    ] {
        let hosts = http.hosts(&format!("serviceName=s{filter}")).await;
        assert_eq!(
            hosts.iter().map(|(ip, ..)| ip.as_str()).collect::<Vec<_>>(),
            expected,
            "{filter}"
        );
    }
}

#[tokio::test]
async fn an_operator_takes_a_grpc_instance_out_and_back() {
    let http = Http::start(Options {
        push_delay: Duration::from_millis(20),
        ..Options::default()
    })
    .await;
    let mut client = RawClient::ready(http.registry.grpc_addr()).await;
    let service = |extra: Value| {
        let mut body =
            json!({"namespace": "public", "serviceName": "s", "groupName": "DEFAULT_GROUP"});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        body
    };
    let instance = json!({"ip": "10.0.0.1", "port": 80, "weight": 2.0});
    let register = service(json!({"type": "registerInstance", "instance": instance}));
    client.call("InstanceRequest", &register).await;
    client
        .call(
            "SubscribeServiceRequest",
            &service(json!({"subscribe": true})),
        )
        .await;
    let place = "serviceName=s&ip=10.0.0.1&port=80";
    for (method, edit, expected) in [
        ("PUT", "&enabled=false", vec![]),
        // What a PUT does not say is set to its default.
        ("PUT", "&enabled=true", vec![1.0]),
        ("PUT", "&weight=3&enable=True", vec![3.0]),
        ("PATCH", "&enabled=false", vec![]),
        ("PATCH", "&enabled=true", vec![3.0]),
        ("PUT", "&weight=0", vec![0.0]),
        // An instance of a connection cannot be removed over HTTP.
        ("DELETE", "", vec![0.0]),
    ] {
        let answer = http
            .ask(&format!("{method} /v1/ns/instance?{place}{edit}"), "")
            .await;
        assert_eq!(answer.body, "ok", "{method} {edit}");
        let weights: Vec<_> = http
            .hosts("serviceName=s")
            .await
            .into_iter()
            .map(|(.., weight)| weight)
            .collect();
        assert_eq!(weights, expected, "{method} {edit}");
        if method == "DELETE" {
            continue;
        }
        let shown = |push: &Message| {
            let hosts = push.body["serviceInfo"]["hosts"]
                .as_array()
                .into_iter()
                .flatten();
            hosts
                .filter_map(|host| host["weight"].as_f64())
                .collect::<Vec<_>>()
        };
        client.next_where(|push| shown(push) == expected).await;
        client.unread();
    }
}

#[tokio::test]
async fn beats_register_keep_and_are_missed() {
    let http = Http::start(Options {
        unhealthy_after: Duration::from_millis(300),
        remove_after: Duration::from_millis(600),
        ..Options::default()
    })
    .await;
    let light = "PUT /v1/ns/instance/beat?serviceName=s&ip=10.0.0.1&port=80";
    let answer =
        |code: i32| json!({"clientBeatInterval": 5000, "code": code, "lightBeatEnabled": true});
    assert_eq!(http.ask(light, "").await.json(), answer(20_404));
    let body = "beat=%7B%22ip%22%3A%2210.0.0.1%22%2C%22port%22%3A80%2C%22weight%22%3A2%7D";
    let full = format!("PUT /v1/ns/instance/beat?serviceName=s&{body}");
    assert_eq!(http.ask(&full, "").await.json(), answer(10_200));
    assert_eq!(
        http.hosts("serviceName=s").await,
        [("10.0.0.1".to_owned(), true, 2.0)]
    );
    assert_eq!(http.ask(light, "").await.json(), answer(10_200));
    for expected in [vec![false], vec![]] {
        let reached = async {
            loop {
                let healthy: Vec<_> = http
                    .hosts("serviceName=s")
                    .await
                    .into_iter()
                    .map(|host| host.1)
                    .collect();
                if healthy == expected {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, reached)
            .await
            .expect("time takes its toll");
    }
}
