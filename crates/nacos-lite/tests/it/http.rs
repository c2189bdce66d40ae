//! The HTTP half: what `curl` and the Python SDK 0.1.14 send, and what they get.

use std::time::Duration;

use pailou_nacos_lite::{Instance, Options, Registry};
use reqwest::{Client, Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::raw::{Message, PATIENCE, RawClient};

const FORM: &str = "application/x-www-form-urlencoded";

struct Http {
    registry: Registry,
    client: Client,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Http {
    async fn start(options: Options) -> Self {
        let registry = Registry::start(options)
            .await
            .expect("there are free ports");
        Self {
            registry,
            client: Client::new(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/nacos{path}", self.registry.http_addr())
    }

    /// `METHOD path?query`, and a form.
    async fn ask(&self, request: &str, form: &str) -> Answer {
        self.ask_with(request, form, &[]).await
    }

    async fn ask_with(&self, request: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        let (method, path) = request.split_once(' ').expect("method and path");
        let method: Method = method.parse().expect("a method");
        let mut request = self.client.request(method, self.url(path));
        if !form.is_empty() {
            request = request.header("content-type", FORM).body(form.to_owned());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = timeout(PATIENCE, request.send())
            .await
            .expect("an answer in time")
            .expect("the server answers");
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer {
            status,
            headers,
            body: answer.text().await.expect("the answer is text"),
        }
    }

    async fn hosts(&self, query: &str) -> Vec<(String, bool, f64)> {
        let list = self
            .ask(&format!("GET /v1/ns/instance/list?{query}"), "")
            .await
            .json();
        let host = |host: &Value| {
            let ip = host["ip"]
                .as_str()
                .expect("a host has an address")
                .to_owned();
            (
                ip,
                host["healthy"] == true,
                host["weight"].as_f64().expect("a host has a weight"),
            )
        };
        list["hosts"]
            .as_array()
            .expect("a list has hosts")
            .iter()
            .map(host)
            .collect()
    }
}

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

#[tokio::test]
async fn a_config_comes_back_with_its_hash_and_type() {
    let http = Http::start(Options::default()).await;
    let missing = http
        .ask("GET /v1/cs/configs?dataId=a.yaml&group=G", "")
        .await;
    assert_eq!(
        (missing.status.as_u16(), missing.body.as_str()),
        (404, "config data not exist\n")
    );
    let published = http
        .ask(
            "POST /v1/cs/configs",
            "dataId=a.yaml&group=G&type=yaml&content=k%3A+%C3%BC%26",
        )
        .await;
    assert_eq!(published.body, "true");
    let found = http
        .ask("GET /v1/cs/configs?dataId=a.yaml&group=G&tenant=public", "")
        .await;
    assert_eq!((found.status.as_u16(), found.body.as_str()), (200, "k: ü&"));
    assert_eq!(found.headers["config-type"], "yaml");
    assert_eq!(
        found.headers["content-md5"],
        "2184f55dff6446e6e13d1d05e10fe960"
    );
    let elsewhere = http
        .ask("GET /v1/cs/configs?dataId=a.yaml&group=G&tenant=dev", "")
        .await;
    assert_eq!(elsewhere.status.as_u16(), 404);
    let swap = [("casMd5", "00")];
    let refused = http
        .ask_with(
            "POST /v1/cs/configs",
            "dataId=a.yaml&group=G&content=x",
            &swap,
        )
        .await;
    assert_eq!(refused.status.as_u16(), 500);
    for _ in 0..2 {
        assert_eq!(
            http.ask("DELETE /v1/cs/configs?dataId=a.yaml&group=G", "")
                .await
                .body,
            "true"
        );
    }
    assert_eq!(http.registry.config("a.yaml"), None);
}

#[tokio::test]
async fn a_long_poll_answers_at_once_when_something_differs() {
    let http = Http::start(Options::default()).await;
    http.registry.publish_config("lp", "k: 1");
    let listen = "POST /v1/cs/configs/listener";
    let md5 = "91f4a7bb25cd3347fcc9821061b42d2a";
    for (config, no_hangup, expected) in [
        (
            "lp%02DEFAULT_GROUP%02wrong%01".to_owned(),
            false,
            "lp%02DEFAULT_GROUP%01\n",
        ),
        (
            "lp%02DEFAULT_GROUP%02wrong%02public%01".to_owned(),
            false,
            "lp%02DEFAULT_GROUP%02public%01\n",
        ),
        (format!("lp%02DEFAULT_GROUP%02{md5}%01"), true, ""),
        ("none%02DEFAULT_GROUP%02%01".to_owned(), true, ""),
        (
            format!("none%02DEFAULT_GROUP%02{md5}%01"),
            true,
            "none%02DEFAULT_GROUP%01\n",
        ),
    ] {
        let mut headers = vec![("Long-Pulling-Timeout", "30000")];
        if no_hangup {
            headers.push(("Long-Pulling-Timeout-No-Hangup", "true"));
        }
        let answer = http
            .ask_with(listen, &format!("Listening-Configs={config}"), &headers)
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (200, expected),
            "{config}"
        );
    }
    assert_eq!(http.ask(listen, "").await.status.as_u16(), 400);
}

#[tokio::test]
async fn a_long_poll_waits_for_a_change() {
    let http = Http::start(Options::default()).await;
    http.registry.publish_config("lp", "k: 1");
    let mut md5 = "91f4a7bb25cd3347fcc9821061b42d2a";
    for change in ["update", "remove"] {
        let form = format!("Listening-Configs=lp%02DEFAULT_GROUP%02{md5}%01");
        let headers = [("Long-Pulling-Timeout", "30000")];
        let poll = http.ask_with("POST /v1/cs/configs/listener", &form, &headers);
        let act = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let at = Instant::now();
            // Another config wakes nobody.
            http.registry.publish_config("other", change);
            match change {
                "update" => http.registry.publish_config("lp", "k: 2"),
                _ => assert!(http.registry.remove_config("lp")),
            }
            at
        };
        let (answer, changed_at) = tokio::join!(poll, act);
        assert_eq!(answer.body, "lp%02DEFAULT_GROUP%01\n", "{change}");
        assert!(changed_at.elapsed() < Duration::from_secs(2));
        md5 = "b53e05ea21448dcd6e8e287f31dd4c07";
    }
}

#[tokio::test]
async fn with_authentication_a_token_is_needed_and_may_be_anywhere() {
    let auth = Some(("nacos".to_owned(), "se cret".to_owned()));
    let http = Http::start(Options {
        auth,
        ..Options::default()
    })
    .await;
    let list = "GET /v1/ns/instance/list?serviceName=s";
    let refused = http.ask(list, "").await;
    let mut body = refused.json();
    assert!(body["timestamp"].take().is_string());
    let message =
        "Code: 401, Message: User not found! Please check user exist or password is right!.";
    let path = "/nacos/v1/ns/instance/list";
    let expected = json!({"timestamp": null, "status": 403, "error": "Forbidden", "message": message, "path": path});
    assert_eq!((refused.status.as_u16(), body), (403, expected));
    for login in [
        "/v1/auth/login",
        "/v1/auth/users/login",
        "/v3/auth/user/login",
    ] {
        let answer = http
            .ask(&format!("POST {login}"), "username=nacos&password=se+cret")
            .await
            .json();
        assert_eq!(
            (&answer["tokenTtl"], &answer["globalAdmin"]),
            (&json!(18_000), &json!(true))
        );
        let token = answer["accessToken"].as_str().expect("there is a token");
        let bearer = format!("Bearer {token}");
        let in_query = format!("{list}&accessToken={token}");
        for (request, headers) in [
            (list, vec![("accessToken", token)]),
            (list, vec![("Authorization", bearer.as_str())]),
            (in_query.as_str(), vec![]),
        ] {
            assert_eq!(
                http.ask_with(request, "", &headers).await.status.as_u16(),
                200,
                "{request} {headers:?}"
            );
        }
        http.registry.faults().expire_tokens();
        let expired = http.ask_with(list, "", &[("accessToken", token)]).await;
        assert_eq!(
            (expired.status.as_u16(), expired.json()["message"].clone()),
            (403, json!("Code: 401, Message: token expired!."))
        );
    }
    for (login, form, status) in [
        ("/v1/auth/login", "username=nacos&password=x", 500),
        ("/v1/auth/users/login", "username=x&password=x", 500),
        ("/v3/auth/user/login", "username=nacos&password=x", 500),
        ("/v3/auth/user/login", "username=x&password=x", 403),
    ] {
        assert_eq!(
            http.ask(&format!("POST {login}"), form)
                .await
                .status
                .as_u16(),
            status,
            "{login} {form}"
        );
    }
    // The Python SDK 0.1.14 puts user and password into queries, and has no query when it registers.
    assert_eq!(
        http.ask(&format!("{list}&username=nacos&password=se+cret"), "")
            .await
            .status
            .as_u16(),
        200
    );
    assert_eq!(
        http.ask(&format!("{list}&username=nacos&password=x"), "")
            .await
            .status
            .as_u16(),
        403
    );
    assert_eq!(
        http.ask("POST /v1/ns/instance", "serviceName=s&ip=1&port=1")
            .await
            .status
            .as_u16(),
        403
    );
}

#[tokio::test]
async fn health_needs_no_token() {
    let auth = Some(("nacos".to_owned(), "secret".to_owned()));
    let http = Http::start(Options {
        auth,
        ..Options::default()
    })
    .await;
    for (path, body) in [
        ("/v1/ns/operator/metrics", r#"{"status":"UP"}"#),
        ("/v1/console/health/readiness", "OK"),
        ("/v1/console/health/liveness", "OK"),
        (
            "/v3/admin/core/state/readiness",
            r#"{"code":0,"message":"success","data":"ok"}"#,
        ),
    ] {
        let answer = http.ask(&format!("GET {path}"), "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (200, body),
            "{path}"
        );
    }
    let state = http.ask("GET /v1/console/server/state", "").await.json();
    assert_eq!(state["standalone_mode"], "standalone");
}

#[tokio::test]
async fn faults_of_a_request_are_told_in_the_servers_words() {
    let http = Http::start(Options::default()).await;
    http.registry
        .put_instance("s", Instance::new("10.0.0.1", 80));
    let unknown = "caused: service not found, namespace: public, serviceName: DEFAULT_GROUP@@none;";
    let long = "x".repeat(1100);
    for (request, status, body) in [
        (
            "GET /v1/ns/instance/list",
            400,
            "caused: Param 'serviceName' is required.;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&port=1",
            400,
            "caused: Param 'ip' is required.;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=x",
            400,
            "caused: Param 'port' is illegal, got 'x'.;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=99999",
            400,
            "caused: Param 'port' is illegal, got '99999'.;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=1&weight=-1",
            400,
            "caused: instance format invalid: The weights range from 0 to 10000;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=1&weight=NaN",
            400,
            "caused: instance format invalid: The weights range from 0 to 10000;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=1&ephemeral=false",
            400,
            "caused: persistent instances are not kept by this registry;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=1&metadata=a",
            400,
            "caused: metadata format incorrect:a;",
        ),
        (
            &format!("POST /v1/ns/instance?serviceName=s&ip=1&port=1&metadata=a={long}"),
            400,
            "caused: Param 'metadata' is illegal, the param length should not exceed 1024.;",
        ),
        (
            "PUT /v1/ns/instance?serviceName=none&ip=1&port=1",
            400,
            unknown,
        ),
        (
            "GET /v1/ns/instance?serviceName=s&ip=1&port=1",
            404,
            "caused: no matched ip found!;",
        ),
        (
            "GET /v1/ns/instance?serviceName=none&ip=1&port=1",
            404,
            "caused: no ips found for cluster DEFAULT in service DEFAULT_GROUP@@none;",
        ),
        (
            "POST /v1/cs/configs?dataId=a&group=G&content=+",
            400,
            "caused: content is blank :  ;",
        ),
        (
            "GET /v1/cs/configs?dataId=a+b&group=G",
            400,
            "caused: Param 'dataId' is illegal, illegal characters should not appear in the param.;",
        ),
        (
            "GET /v1/ns/service/list",
            400,
            "caused: Param 'pageNo' is required.;",
        ),
    ] {
        let answer = http.ask(request, "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (status, body),
            "{request}"
        );
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_have_springs_shape() {
    let http = Http::start(Options::default()).await;
    for (request, status, error, message) in [
        (
            "GET /v2/ns/instance/list",
            404,
            "Not Found",
            "No endpoint GET /nacos/v2/ns/instance/list.",
        ),
        (
            "GET /v1/auth/login",
            405,
            "Method Not Allowed",
            "Method 'GET' is not supported.",
        ),
        (
            "DELETE /v1/ns/instance/list",
            405,
            "Method Not Allowed",
            "Method 'DELETE' is not supported.",
        ),
    ] {
        let answer = http.ask(request, "").await;
        let body = answer.json();
        let path = format!("/nacos{}", request.split_once(' ').unwrap().1);
        assert_eq!(answer.status.as_u16(), status, "{request}");
        assert_eq!(
            (&body["status"], &body["error"]),
            (&json!(status), &json!(error))
        );
        assert_eq!(
            (&body["message"], &body["path"]),
            (&json!(message), &json!(path))
        );
    }
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused() {
    let http = Http::start(Options::default()).await;
    let form = format!("dataId=a&group=G&content={}", "x".repeat(17 << 20));
    assert_eq!(
        http.ask("POST /v1/cs/configs", &form).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}
