//! Version 3's client API, and version 1 switched off.

use super::*;

#[tokio::test]
async fn an_instance_over_version_3_lives_by_beats() {
    let http = Http::start(Options::default()).await;
    let service = "serviceName=orders&groupName=G&namespaceId=public&ip=10.0.0.1&port=80";
    let beat = format!("{service}&heartBeat=true");
    let path = "/v3/client/ns/instance";
    let unknown = http.ask(&format!("POST {path}"), &beat).await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.json()),
        (
            200,
            json!({"code": 21003, "message": "instance not found", "data": null})
        )
    );
    let ok = json!({"code": 0, "message": "success", "data": "ok"});
    let list = format!("GET {path}/list?serviceName=orders&groupName=G");
    for form in [&format!("{service}&weight=2.5&heartBeat=false"), &beat] {
        assert_eq!(http.ask(&format!("POST {path}"), form).await.json(), ok);
        let hosts = http.ask(&list, "").await.json();
        let host = json!({
            "instanceId": "10.0.0.1#80#DEFAULT#G@@orders", "ip": "10.0.0.1", "port": 80, "weight": 2.5,
            "healthy": true, "enabled": true, "ephemeral": true, "clusterName": "DEFAULT",
            "serviceName": "G@@orders", "metadata": {}, "instanceHeartBeatInterval": 5000,
            "instanceHeartBeatTimeOut": 15000, "ipDeleteTimeout": 30000,
        });
        assert_eq!(
            hosts,
            json!({"code": 0, "message": "success", "data": [host]})
        );
    }
    let gone = http.ask(&format!("DELETE {path}?{service}"), "").await;
    assert_eq!(gone.json(), ok);
    assert_eq!(http.ask(&list, "").await.json()["data"], json!([]));
}

#[tokio::test]
async fn a_config_over_version_3_is_read_as_grpc_answers_it() {
    let http = Http::start(Options::default()).await;
    let get = "GET /v3/client/cs/config?dataId=routes&groupName=DEFAULT_GROUP";
    assert_eq!(
        http.ask(get, "").await.json(),
        json!({"code": 20004, "message": "resource not found", "data": null})
    );
    let form = "dataId=routes&groupName=DEFAULT_GROUP&content=a%3D2&type=text";
    let done = http.ask("POST /v3/admin/cs/config", form).await.json();
    assert_eq!(done, json!({"code": 0, "message": "success", "data": true}));
    let data = http.ask(get, "").await.json()["data"].take();
    for (field, expected) in [
        ("resultCode", json!(200)),
        ("content", json!("a=2")),
        ("contentType", json!("text")),
        ("md5", json!("83a88ab12cf3296e031df84985733d33")),
    ] {
        assert_eq!(data[field], expected, "{field}");
    }
    let remove = "DELETE /v3/admin/cs/config?dataId=routes&groupName=DEFAULT_GROUP";
    assert_eq!(http.ask(remove, "").await.json()["data"], true);
    assert_eq!(http.ask(get, "").await.json()["code"], 20004);
}

#[tokio::test]
async fn without_version_1_its_paths_are_gone_and_the_others_are_not() {
    let http = Http::start(Options {
        v1: false,
        ..Options::default()
    })
    .await;
    for request in [
        "GET /v1/ns/instance/list?serviceName=a",
        "PUT /v1/ns/instance/beat?serviceName=a",
        "POST /v1/cs/configs/listener",
        "POST /v1/auth/login",
    ] {
        let answer = http.ask(request, "").await;
        assert_eq!(answer.status, StatusCode::GONE, "{request}");
        let problem = answer.json();
        let words: Value = serde_json::from_str(problem["message"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&problem["error"], &words["code"]),
            (&json!("Gone"), &json!(40000))
        );
    }
    let list = http
        .ask("GET /v3/client/ns/instance/list?serviceName=a", "")
        .await;
    assert_eq!(list.json()["data"], json!([]));
}

#[tokio::test]
async fn grpc_can_be_blocked_alone_and_let_through_again() {
    let http = Http::start(Options {
        block_grpc: true,
        ..Options::default()
    })
    .await;
    let reach = async || tokio::net::TcpStream::connect(http.registry.grpc_addr()).await;
    let until = async |open: bool| {
        let wait = async {
            while reach().await.is_ok() != open {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, wait).await.expect("the port does so");
    };
    until(false).await;
    http.hosts("serviceName=a").await;
    http.registry.faults().block_grpc(false);
    until(true).await;
    let client = RawClient::connect(http.registry.grpc_addr()).await;
    http.registry.faults().block_grpc(true);
    until(false).await;
    drop(client);
}
