//! What people look at: namespaces, services and configs over all groups, the history.

use pailou_nacos_lite::{ConfigKey, ServiceKey};

use super::*;

#[tokio::test]
async fn namespaces_are_created_and_listed_in_both_forms() {
    let http = Http::start(Options::default()).await;
    assert!(http.registry.create_namespace("dev-id", "development"));
    let create = "POST /v1/console/namespaces";
    for (form, created) in [
        ("customNamespaceId=t&namespaceName=test", "true"),
        ("customNamespaceId=t&namespaceName=again", "false"),
    ] {
        assert_eq!(http.ask(create, form).await.body, created, "{form}");
    }
    let dev = ConfigKey::new("dev-id", "G", "a.yaml");
    http.registry.publish_config(dev, "a: 1");
    for (path, code, public) in [
        ("/v1/console/namespaces", 200, ""),
        ("/v3/admin/core/namespace/list", 0, "public"),
    ] {
        let answer = http.ask(&format!("GET {path}"), "").await.json();
        assert_eq!(answer["code"], code);
        let listed: Vec<_> = answer["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| {
                json!([
                    one["namespace"],
                    one["namespaceShowName"],
                    one["configCount"]
                ])
            })
            .collect();
        let expected = [
            json!([public, "public", 0]),
            json!(["dev-id", "development", 1]),
            json!(["t", "test", 0]),
        ];
        assert_eq!(listed, expected);
    }
}

#[tokio::test]
async fn services_are_listed_over_all_groups_with_the_disabled_instances() {
    let http = Http::start(Options::default()).await;
    let disabled = Instance {
        enabled: false,
        ..Instance::new("10.0.0.1", 1)
    };
    let sick = Instance {
        healthy: false,
        ..Instance::new("10.0.0.2", 1)
    };
    http.registry.put_instance("user-service", disabled);
    http.registry.put_instance("user-service", sick);
    http.registry
        .put_instance("shop@@user-service", Instance::new("10.0.0.3", 1));
    http.registry.put_instance(
        ServiceKey::new("dev", "G", "user-service"),
        Instance::new("10.0.0.4", 1),
    );
    let ask = async |query: &str| {
        let path = format!("GET /v3/admin/ns/service/list?pageNo=1&pageSize=10&{query}");
        let data = http.ask(&path, "").await.json()["data"].take();
        let items = data["pageItems"].as_array().expect("items").iter();
        let counts = items.map(|one| {
            json!([
                one["groupName"],
                one["ipCount"],
                one["healthyInstanceCount"]
            ])
        });
        (data["totalCount"].clone(), counts.collect::<Vec<_>>())
    };
    assert_eq!(
        ask("serviceNameParam=user").await,
        (
            json!(2),
            vec![json!(["DEFAULT_GROUP", 2, 1]), json!(["shop", 1, 1])]
        )
    );
    assert_eq!(
        ask("serviceNameParam=user&groupNameParam=shop").await.0,
        json!(1)
    );
    assert_eq!(ask("namespaceId=dev").await.1, [json!(["G", 1, 1])]);
    assert_eq!(ask("serviceNameParam=nobody").await, (json!(0), vec![]));
}

#[tokio::test]
async fn configs_are_listed_over_all_groups() {
    let http = Http::start(Options::default()).await;
    http.registry.publish_config("routes.yaml", "a: 1");
    http.registry
        .publish_config(ConfigKey::new("", "shop", "routes"), "a: 1");
    let path = "GET /v3/admin/cs/config/list?search=blur&dataId=*routes*&pageNo=1&pageSize=10";
    let answer = http.ask(path, "").await.json();
    let items = answer["data"]["pageItems"]
        .as_array()
        .expect("items")
        .iter();
    let found: Vec<_> = items
        .map(|one| json!([one["groupName"], one["dataId"]]))
        .collect();
    assert_eq!(
        found,
        [
            json!(["DEFAULT_GROUP", "routes.yaml"]),
            json!(["shop", "routes"])
        ]
    );
}

#[tokio::test]
async fn the_history_of_a_config_tells_each_change_and_what_it_replaced() {
    let http = Http::start(Options::default()).await;
    for content in ["a: 1", "a: 2", "a: 2"] {
        http.registry.publish_config("a.yaml", content);
    }
    http.registry.publish_config("b.yaml", "b: 1");
    http.registry.remove_config("a.yaml");
    let base = "GET /v1/cs/history?dataId=a.yaml&group=DEFAULT_GROUP";
    let page = http
        .ask(&format!("{base}&search=accurate&pageNo=1&pageSize=10"), "")
        .await
        .json();
    assert_eq!(page["totalCount"], 3, "{page}");
    let items = page["pageItems"].as_array().expect("items");
    let operations: Vec<_> = items.iter().map(|item| &item["opType"]).collect();
    assert_eq!(operations, ["D         ", "U         ", "I         "]);
    for (item, content) in items.iter().zip(["a: 2", "a: 1", "a: 1"]) {
        assert_eq!(item["content"], Value::Null);
        let id = item["id"].as_str().expect("an id");
        let one = http.ask(&format!("{base}&nid={id}"), "").await.json();
        assert_eq!(one["content"], content, "{one}");
    }
    let foreign = "GET /v1/cs/history?dataId=b.yaml&group=DEFAULT_GROUP&nid=1";
    assert_eq!(http.ask(foreign, "").await.status, StatusCode::NOT_FOUND);
}
