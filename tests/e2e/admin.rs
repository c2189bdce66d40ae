//! The admin and probe listeners.

use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_shows_status_routes_and_services() {
    let (_world, upstream, _registered, gateway) = World::small().await;
    reqwest::get(gateway.url("/api/users/1"))
        .await
        .expect("an answer");

    let status = gateway.admin_json("/api/v1/status").await;
    assert_eq!(status["ready"], true, "{status}");
    assert!(status["version"].is_string(), "{status}");
    assert!(status["table"]["revision"].as_u64() >= Some(1), "{status}");
    assert!(
        status["table"]["md5"]
            .as_str()
            .is_some_and(|md5| md5.len() == 32),
        "{status}"
    );
    assert_eq!(
        status["nacos"][0]["connection"]["connected"], true,
        "{status}"
    );

    let routes = gateway.admin_json("/api/v1/routes").await;
    assert_eq!(routes[0]["id"], "/api/users/**", "{routes}");
    assert_eq!(
        routes[0]["service"], "DEFAULT_GROUP@@user-service",
        "{routes}"
    );

    let services = gateway.admin_json("/api/v1/services").await;
    assert_eq!(services.as_array().map(Vec::len), Some(1), "{services}");
    let service = gateway.admin_json("/api/v1/services/user-service").await;
    let endpoint = &service["endpoints"][0];
    assert_eq!(
        endpoint["address"],
        upstream.address().to_string(),
        "{service}"
    );
    assert_eq!(
        endpoint["reasons"],
        serde_json::json!(["eligible"]),
        "{service}"
    );
    assert!(endpoint["picks"].as_u64() >= Some(1), "{service}");

    let missing = reqwest::get(gateway.admin_url("/api/v1/services/nobody"))
        .await
        .expect("an answer");
    assert_eq!(missing.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_out_says_why() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let _zero = world
        .register_weighted(
            "user-service",
            "127.0.0.1:9".parse().expect("an address"),
            0.0,
        )
        .await;
    let view = gateway
        .admin_until(
            "the second instance",
            "/api/v1/services/user-service",
            |view| {
                view["endpoints"]
                    .as_array()
                    .is_some_and(|all| all.len() == 2)
            },
        )
        .await;
    let all = view["endpoints"].as_array().expect("endpoints");
    let zero = all
        .iter()
        .find(|one| one["address"] == "127.0.0.1:9")
        .expect("the instance");
    assert_eq!(zero["in"], false, "{view}");
    assert_eq!(
        zero["reasons"],
        serde_json::json!(["weight zero"]),
        "{view}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer_on_both_listeners_and_nothing_else_does_on_the_probes_one() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        for url in [gateway.probes_url(path), gateway.admin_url(path)] {
            assert_eq!(
                reqwest::get(&url).await.expect("an answer").status(),
                200,
                "{url}"
            );
        }
    }
    for path in ["/api/v1/status", "/api/v1/routes", "/"] {
        assert_eq!(
            reqwest::get(gateway.probes_url(path))
                .await
                .expect("an answer")
                .status(),
            404,
            "{path}"
        );
    }
    // And the data listener routes: it has no path of its own.
    assert_eq!(
        reqwest::get(gateway.url("/metrics"))
            .await
            .expect("an answer")
            .status(),
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_a_removed_route_go() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    reqwest::get(gateway.url("/api/users/1"))
        .await
        .expect("an answer");
    // A request is counted when it is done, and that is after its answer has gone.
    crate::support::until("the series to come", async || {
        let metrics = gateway.metrics().await;
        metrics.contains("route=\"/api/users/**\"").then_some(())
    })
    .await;
    world.publish("routes: { /other/**: user-service }").await;
    crate::support::until("the series to go", async || {
        (!gateway.metrics().await.contains("route=\"/api/users/**\"")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_shows_itself_in_nacos_with_the_table_it_runs() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let status = gateway.admin_json("/api/v1/status").await;
    let client = world.client();
    let mut watch = client.watch_service("pailou-gateway");
    let state = loop {
        let state = watch.changed().await;
        if !state.instances.is_empty() {
            break state;
        }
    };
    let own = &state.instances[0];
    assert_eq!(own.port, gateway.data().port());
    assert_eq!(
        own.metadata.get("revision"),
        Some(&status["table"]["revision"].to_string()),
        "{own:?}"
    );
    assert_eq!(
        own.metadata.get("md5").map(String::as_str),
        status["table"]["md5"].as_str(),
        "{own:?}"
    );
    assert!(own.metadata.contains_key("version"), "{own:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_which_route_and_why_not_another() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world
        .publish(
            "routes:\n  /api/users/**: user-service\n  canary:\n    path: /api/users/**\n    \
             match: { headers: { x-canary: 'true' } }\n    service: user-service\n",
        )
        .await;
    gateway
        .admin_until("two routes", "/api/v1/routes", |routes| {
            routes.as_array().is_some_and(|all| all.len() == 2)
        })
        .await;
    for (question, route) in [
        ("path=/api/users/1", "/api/users/**"),
        ("path=/api/users/1&header=x-canary:true", "canary"),
        // As it would be matched: normalised.
        ("path=/api//./users/x/../1", "/api/users/**"),
    ] {
        let answer = gateway
            .admin_json(&format!("/api/v1/explain?{question}"))
            .await;
        assert_eq!(answer["route"], route, "{question}: {answer}");
    }
    let answer = gateway
        .admin_json("/api/v1/explain?path=/api/users/1")
        .await;
    assert_eq!(answer["passed_over"][0]["route"], "canary", "{answer}");
    let answer = gateway.admin_json("/api/v1/explain?path=/nowhere").await;
    assert!(answer["route"].is_null(), "{answer}");
    for (question, expected) in [
        ("path=/a/..%252f", "path: "),
        // A slip in a name gave an answer to another question.
        ("path=/a&hots=shop.example.com", "hots"),
        ("method=GET", "path"),
    ] {
        let url = gateway.admin_url(&format!("/api/v1/explain?{question}"));
        let refused = reqwest::get(url).await.expect("an answer");
        assert_eq!(refused.status(), 400, "{question}");
        let problem = problem(refused).await;
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(expected), "{question}: {detail}");
    }
}

/// The body of an answer that has to be `application/problem+json`.
async fn problem(answer: reqwest::Response) -> serde_json::Value {
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    answer.json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_not_there_is_answered_with_those_that_are() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let client = reqwest::Client::new();
    for (url, post, status, expected) in [
        (gateway.admin_url("/status"), false, 404, "/api/v1/status"),
        (
            gateway.admin_url("/api/v1/statu"),
            false,
            404,
            "/api/v1/explain?path=/api/users/1",
        ),
        (
            gateway.admin_url("/api/v1/status"),
            true,
            405,
            "/api/v1/status",
        ),
        (gateway.probes_url("/api/v1/status"), false, 404, "/readyz"),
        (gateway.probes_url("/healthz"), true, 405, "/healthz"),
    ] {
        let request = if post {
            client.post(&url)
        } else {
            client.get(&url)
        };
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{url}");
        let problem = problem(answer).await;
        let endpoints = problem["endpoints"].as_array().expect("a list");
        assert!(
            endpoints.iter().any(|one| one == expected),
            "{url}: {problem}"
        );
    }
}

/// A site that let its own name resolve to 127.0.0.1 read every instance and its metadata through a browser.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_on_the_machine_shows_the_admin_interface_to_no_other_site() {
    let more = "admin: { address: '127.0.0.1:0', hosts: [ gateway.internal ] }";
    let (_world, _upstream, _registered, gateway) = World::small_with(more).await;
    let client = reqwest::Client::new();
    let own = gateway
        .admin_url("")
        .trim_start_matches("http://")
        .to_owned();
    let own_site = format!("http://{own}");
    for path in ["/api/v1/status", "/metrics", "/nowhere"] {
        for (host, origin, refused) in [
            (&*own, None, None),
            ("localhost", None, None),
            ("gateway.internal:9901", None, None),
            (&*own, Some(&*own_site), None),
            ("evil.example", None, Some((421, "admin.hosts"))),
            (
                &*own,
                Some("http://evil.example"),
                Some((403, "evil.example")),
            ),
            (&*own, Some("null"), Some((403, "null"))),
        ] {
            let mut request = client.get(gateway.admin_url(path)).header("host", host);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let answer = request.send().await.expect("an answer");
            let Some((status, expected)) = refused else {
                assert!(
                    ![403, 421].contains(&answer.status().as_u16()),
                    "{host} {origin:?}"
                );
                continue;
            };
            assert_eq!(answer.status(), status, "{host} {origin:?}");
            let detail = problem(answer).await["detail"].to_string();
            assert!(detail.contains(expected), "{detail}");
        }
    }
    // A probe comes by whatever name it likes, and there is nothing to read.
    let probe = client
        .get(gateway.probes_url("/readyz"))
        .header("host", "gateway-7f9c");
    assert_eq!(probe.send().await.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_lists_what_it_has_and_changes_nothing() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let index = gateway.admin_json("/").await;
    let endpoints = index["endpoints"].as_array().expect("endpoints");
    let client = reqwest::Client::new();
    let reads = ["/api/v1/", "/healthz", "/readyz", "/metrics"];
    let reading = |endpoint: &&serde_json::Value| {
        reads.iter().any(|start| {
            endpoint
                .as_str()
                .is_some_and(|path| path.starts_with(start))
        })
    };
    for endpoint in endpoints.iter().filter(reading) {
        let path = endpoint
            .as_str()
            .expect("a path")
            .replace("{name}", "user-service");
        let answer = client
            .get(gateway.admin_url(&path))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        for method in [
            reqwest::Method::POST,
            reqwest::Method::PUT,
            reqwest::Method::DELETE,
        ] {
            let request = client.request(method.clone(), gateway.admin_url(&path));
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), 405, "{method} {path}");
        }
    }
}

/// Boards and scripts that read a Spring Cloud Gateway's actuator go on reading.
#[tokio::test(flavor = "multi_thread")]
async fn the_actuator_of_spring_cloud_gateway_is_there_to_read() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world
        .publish(
            "routes:\n  users: { path: /api/users/**, match: { methods: [GET] }, service: user-service, strip_prefix: 1, order: 3, \
             metadata: { team: a } }\n  old: { path: /old, forward: /api/users/1 }\n",
        )
        .await;
    let routes = gateway
        .admin_until("two routes", "/actuator/gateway/routes", |routes| {
            routes.as_array().is_some_and(|all| all.len() == 2)
        })
        .await;
    assert_eq!(routes[0]["uri"], "forward:/api/users/1", "{routes}");
    let route = gateway.admin_json("/actuator/gateway/routes/users").await;
    let expected = serde_json::json!({
        "route_id": "users",
        "predicate": "(path: /api/users/** && methods: GET)",
        "filters": ["[[strip_prefix 1], order = 1]"],
        "uri": "lb://user-service",
        "order": 3,
        "metadata": { "team": "a" },
    });
    assert_eq!(route, expected);
    let filters = gateway.admin_json("/actuator/gateway/routefilters").await;
    assert!(
        filters["[strip_prefix]"].is_null() && filters.as_object().is_some_and(|all| all.len() > 5)
    );
    let unknown = reqwest::get(gateway.admin_url("/actuator/gateway/routes/none")).await;
    assert_eq!(problem(unknown.expect("an answer")).await["status"], 404);
    let refresh = reqwest::Client::new().post(gateway.admin_url("/actuator/gateway/refresh"));
    assert_eq!(refresh.send().await.expect("an answer").status(), 404);
}
