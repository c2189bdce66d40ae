//! The recipes of the documentation: each document is published to a running gateway and asked.

use std::path::Path;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use tokio::net::TcpListener;

use crate::support::gateway::Gateway;
use crate::support::redis::{Redis, until_up};
use crate::support::tokens::{Publisher, Signer, now};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{Registered, World, until_answered_by, until_status};

/// A block of YAML, and the word behind `yaml` that says what it is.
struct Block {
    kind: String,
    text: String,
}

fn blocks(recipe: &str) -> Vec<Block> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/recipes/{recipe}.md"));
    let page = std::fs::read_to_string(file).expect("a recipe");
    let fences = page.split("```yaml").skip(1);
    fences
        .map(|fence| {
            let (kind, rest) = fence.split_once('\n').expect("a line");
            let text = rest.split("```").next().unwrap_or_default();
            Block {
                kind: kind.trim().to_owned(),
                text: text.to_owned(),
            }
        })
        .collect()
}

/// A block of JSON by the word behind `json`.
fn json(recipe: &str, kind: &str) -> String {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/recipes/{recipe}.md"));
    let page = std::fs::read_to_string(file).expect("a recipe");
    let begin = format!("```json {kind}\n");
    let (_, rest) = page.split_once(&begin).expect("a block");
    rest.split("```").next().unwrap_or_default().to_owned()
}

fn documents(recipe: &str) -> Vec<String> {
    let blocks = blocks(recipe)
        .into_iter()
        .filter(|block| block.kind.is_empty());
    blocks.map(|block| block.text).collect()
}

async fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let client = reqwest::Client::new();
    let mut asked = client.get(gateway.url(path));
    for (name, value) in headers {
        asked = asked.header(*name, *value);
    }
    let answer = asked.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("a body"))
}

#[test]
fn every_recipe_is_in_the_list_and_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recipes");
    let list = std::fs::read_to_string(folder.join("README.md")).expect("the list");
    let own = include_str!("recipes.rs");
    for entry in std::fs::read_dir(folder).expect("the recipes") {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("UTF-8");
        let Some(name) = name.strip_suffix(".md").filter(|name| *name != "README") else {
            continue;
        };
        assert!(
            list.contains(&format!("[{name}]({name}.md)")),
            "{name} is not in the list"
        );
        assert!(
            own.contains(&format!("(\"{name}\")")),
            "no test runs {name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn path_rewrite() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let documents = documents("path-rewrite");
    world.publish(&documents[0]).await;
    until_status(&gateway.url("/shop/v1/headers"), 200).await;
    let (_, seen) = ask(&gateway, "/shop/v1/headers?a=b", &[]).await;
    assert!(seen.contains("\"/internal/headers?a=b\""), "{seen}");
    assert!(
        seen.contains("[\"x-forwarded-prefix\",\"/shop/v1\"]"),
        "{seen}"
    );
    world.publish(&documents[1]).await;
    until_status(&gateway.url("/old/books/headers"), 200).await;
    let (_, seen) = ask(&gateway, "/old/books/headers", &[]).await;
    assert!(seen.contains("\"/books/v2/headers\""), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn balancing() {
    let settings = blocks("balancing")
        .into_iter()
        .find(|block| block.kind == "gateway");
    let settings = settings.expect("settings").text;
    let (world, _upstream, _registered, gateway) = World::small_with(&settings).await;
    let other = Upstream::start("other");
    let _other = world.register("user-service", other.address()).await;
    let documents = documents("balancing");
    world.publish(&documents[0]).await;
    until_status(&gateway.url("/api/carts/1"), 200).await;
    until_answered_by(&gateway.url("/api/carts/1"), "other").await;
    let (_, first) = ask(&gateway, "/api/carts/1", &[("x-user", "anna")]).await;
    for _ in 0..10 {
        let (_, again) = ask(&gateway, "/api/carts/1", &[("x-user", "anna")]).await;
        assert_eq!(again, first);
    }
    let (_, first) = ask(&gateway, "/api/pictures/1", &[]).await;
    for _ in 0..10 {
        assert_eq!(ask(&gateway, "/api/pictures/1", &[]).await.1, first);
    }
    for (document, path) in [(1, "/api/quick/1"), (2, "/api/warm/1")] {
        world.publish(&documents[document]).await;
        until_status(&gateway.url(path), 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let documents = documents("health-checks");
    world.publish(&documents[0]).await;
    gateway
        .admin_until("a check", "/api/v1/services/user-service", |view| {
            view["endpoints"][0]["checks"][0]["last"] == "passed"
        })
        .await;
    until_status(&gateway.url("/api/users/1"), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grey_release() {
    let (world, stable, _registered, gateway) = World::small().await;
    let canary = Upstream::start("canary");
    let address = canary.address();
    let mut instance = pailou_nacos::Instance::new(address.ip().to_string(), address.port());
    instance
        .metadata
        .insert("version".to_owned(), "v2".to_owned());
    instance
        .metadata
        .insert("hint".to_owned(), "blue".to_owned());
    let _canary = world
        .register_instance("user-service", instance.clone())
        .await;
    let _orders = (
        world.register("order-service", stable.address()).await,
        world.register_instance("order-service", instance).await,
    );
    let documents = documents("grey-release");
    world.publish(&documents[0]).await;
    until_status(&gateway.url("/api/users/1"), 200).await;
    crate::support::until("the canary to be listed", async || {
        let (_, by) = ask(&gateway, "/api/users/1", &[("x-version", "v2")]).await;
        by.starts_with("canary").then_some(())
    })
    .await;
    for _ in 0..10 {
        let (_, by) = ask(&gateway, "/api/users/1", &[]).await;
        assert!(by.starts_with(stable.name()), "{by}");
    }
    world.publish(&documents[1]).await;
    until_status(&gateway.url("/weighted/1"), 200).await;
    for _ in 0..300 {
        assert_eq!(ask(&gateway, "/weighted/1", &[]).await.0, 200);
    }
    let routes = gateway.admin_json("/api/v1/routes").await;
    let requests = |id: &str| {
        let mut routes = routes.as_array().into_iter().flatten();
        let route = routes.find(|route| route["id"] == id);
        route
            .and_then(|route| route["requests"].as_f64())
            .unwrap_or_default()
    };
    let share = requests("canary") / (requests("canary") + requests("stable"));
    assert!((0.03..0.2).contains(&share), "{share}");

    world.publish(&documents[2]).await;
    until_status(&gateway.url("/users/1"), 200).await;
    for _ in 0..10 {
        let (_, by) = ask(&gateway, "/users/1", &[("x-stage", "blue")]).await;
        assert!(by.starts_with("canary"), "{by}");
        let (_, by) = ask(&gateway, "/orders/1", &[]).await;
        assert!(by.starts_with("canary"), "{by}");
    }
    until("any instance to answer", async || {
        let (_, by) = ask(&gateway, "/orders/1", &[("x-stage", "nobody")]).await;
        by.starts_with(stable.name()).then_some(())
    })
    .await;
}

/// Says yes to one token.
async fn authentication(world: &World) -> Registered {
    let check = async |headers: HeaderMap| match headers.get("authorization") {
        Some(token) if token == "Bearer good" => {
            (StatusCode::OK, [("x-user", "seven")], "").into_response()
        }
        _ => (StatusCode::UNAUTHORIZED, "who are you?").into_response(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(check)).await });
    world.register("auth-service", address).await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_house_filters() {
    let settings = blocks("in-house-filters")
        .into_iter()
        .find(|block| block.kind == "gateway");
    let settings = settings.expect("settings").text;
    let (world, _upstream, _registered, gateway) = World::small_with(&settings).await;
    let _auth = authentication(&world).await;
    let documents = documents("in-house-filters");
    world.publish(&documents[0]).await;
    until_status(&gateway.url("/api/users/headers"), 401).await;
    assert_eq!(ask(&gateway, "/api/users/login", &[]).await.0, 200);
    assert_eq!(ask(&gateway, "/api/users/public/x", &[]).await.0, 200);
    let (status, seen) = ask(
        &gateway,
        "/api/users/headers",
        &[("authorization", "Bearer good")],
    )
    .await;
    assert!(
        status == 200 && seen.contains("[\"x-user\",\"seven\"]"),
        "{seen}"
    );

    world.publish(&documents[1]).await;
    until_status(&gateway.url("/scg/users/headers"), 401).await;
    let (status, seen) = ask(
        &gateway,
        "/scg/users/headers",
        &[("authorization", "Bearer good")],
    )
    .await;
    assert!(
        status == 200 && seen.contains("\"/users/headers\""),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jwt_white_list() {
    let settings = blocks("jwt-white-list")
        .into_iter()
        .find(|block| block.kind == "gateway");
    let settings = settings.expect("settings").text;
    let (world, _upstream, _registered, gateway) = World::small_with(&settings).await;
    let signer = Signer::new("one");
    let publisher = Publisher::start(&signer.jwks()).await;
    let _auth = world.register("auth-service", publisher.address()).await;
    let claims = |roles: &str| {
        serde_json::json!({
            "iss": "https://login.example", "aud": "shop", "sub": "seven", "roles": roles, "exp": now() + 300,
        })
    };
    let bearer = |roles: &str| format!("Bearer {}", signer.token(&claims(roles)));
    let (user, admin) = (bearer("user"), bearer("admin"));
    let documents = documents("jwt-white-list");
    world.publish(&documents[0]).await;
    until_status(&gateway.url("/api/users/headers"), 401).await;
    assert_eq!(ask(&gateway, "/api/users/login", &[]).await.0, 200);
    let forged = [("x-user-id", "forged")];
    let (status, seen) = ask(&gateway, "/api/users/public/headers", &forged).await;
    assert!(status == 200 && !seen.contains("forged"), "{seen}");
    let token = [("authorization", &*user), ("x-user-id", "forged")];
    let (status, seen) = ask(&gateway, "/api/users/headers", &token).await;
    let is_told = seen.contains("[\"x-user-id\",\"seven\"]") && !seen.contains("forged");
    assert!(status == 200 && is_told, "{seen}");
    assert_eq!(ask(&gateway, "/api/admin/1", &token).await.0, 403);
    let token = [("authorization", &*admin)];
    assert_eq!(ask(&gateway, "/api/admin/1", &token).await.0, 200);

    world.publish(&documents[1]).await;
    until_status(&gateway.url("/scg/users/headers"), 401).await;
    assert_eq!(ask(&gateway, "/scg/users/login", &[]).await.0, 200);
    let (status, seen) = ask(&gateway, "/scg/users/headers", &token).await;
    assert!(
        status == 200 && seen.contains("\"/users/headers\""),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_page() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let document = documents("maintenance-page").remove(0);
    world.publish(&document).await;
    until_status(&gateway.url("/api/x"), 503).await;
    let (_, body) = ask(&gateway, "/api/x", &[]).await;
    assert_eq!(body, "{\"message\":\"back at 6:00\"}");
    assert_eq!(ask(&gateway, "/api/x", &[("x-team", "1")]).await.0, 200);
    world
        .publish(&document.replace("enabled: true", "enabled: false"))
        .await;
    until_status(&gateway.url("/api/x"), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn team_documents() {
    let blocks = blocks("team-documents");
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let _registered = world.register("user-service", upstream.address()).await;
    let gateway = Gateway::start(&world.settings(&blocks[0].text)).await;
    for block in &blocks[1..] {
        world.publish_as(&block.kind, &block.text).await;
    }
    let gateway = gateway.ready().await;
    until_status(&gateway.url("/api/users/1"), 200).await;
    until_status(&gateway.url("/api/orders/1"), 200).await;
    world
        .publish_as(&blocks[1].kind, "routes: { nonsense")
        .await;
    gateway
        .logged(&["a route document was refused", "users-routes.yaml"])
        .await;
    assert_eq!(ask(&gateway, "/api/users/1", &[]).await.0, 200);
    assert_eq!(ask(&gateway, "/api/orders/1", &[]).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn swagger() {
    let (world, upstream, _registered, gateway) = World::small().await;
    world.publish(&documents("swagger")[0]).await;
    until_status(&gateway.url("/v3/api-docs/users"), 200).await;
    for service in ["users", "orders"] {
        let (_, body) = ask(&gateway, &format!("/v3/api-docs/{service}"), &[]).await;
        assert_eq!(body, format!("{} GET /v3/api-docs", upstream.name()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn error_bodies() {
    let shapes = blocks("error-bodies").into_iter();
    let shapes = shapes.filter(|block| block.kind == "gateway");
    let (world, _upstream, _registered, first) = World::small().await;
    drop(first);
    world.publish(&documents("error-bodies")[0]).await;
    let keys = ["requestId", "traceId", "<h1>"];
    let kinds = [
        "application/json",
        "application/json",
        "text/html; charset=utf-8",
    ];
    for ((shape, key), kind) in shapes.zip(keys).zip(kinds) {
        let gateway = world.gateway_with(&shape.text).await.ready().await;
        until_status(&gateway.url("/limited/1"), 429).await;
        for (path, status) in [("/none", 404), ("/empty/1", 503), ("/limited/1", 429)] {
            let answer = reqwest::get(gateway.url(path)).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.headers()["content-type"], kind);
            let body = answer.text().await.expect("a body");
            assert!(
                body.contains(key) && body.contains(&status.to_string()),
                "{body}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_one_route() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(&documents("error-bodies")[1]).await;
    until_status(&gateway.url("/page/1"), 503).await;
    for (path, piece) in [
        ("/empty/1", "\"cause\":"),
        ("/old/1", "\"requestId\":"),
        ("/page/1", "<h1>503 Service Unavailable</h1>"),
    ] {
        let (status, body) = ask(&gateway, path, &[]).await;
        assert!(status == 503 && body.contains(piece), "{path}: {body}");
    }
}

/// A preflight: its status, and the origin that it allows.
async fn preflight(gateway: &Gateway, path: &str, origin: &str) -> (u16, Option<String>) {
    let client = reqwest::Client::new();
    let asked = client.request(reqwest::Method::OPTIONS, gateway.url(path));
    let asked = asked.header("origin", origin);
    let asked = asked.header("access-control-request-method", "GET");
    let answer = asked.send().await.expect("an answer");
    let allowed = answer.headers().get("access-control-allow-origin");
    let allowed = allowed.map(|value| value.to_str().expect("ASCII").to_owned());
    (answer.status().as_u16(), allowed)
}

#[tokio::test(flavor = "multi_thread")]
async fn cors() {
    let (world, upstream, _registered, gateway) = World::small().await;
    let documents = documents("cors");
    let allows = async |path: &str, origin: &str| {
        let answer = preflight(&gateway, path, origin).await;
        assert_eq!(answer, (200, Some(origin.to_owned())), "{path} {origin}");
    };
    world.publish(&documents[0]).await;
    until("the route to refuse pages of others", async || {
        let refused = preflight(&gateway, "/api/users/1", "https://evil.example").await;
        (refused == (403, None)).then_some(())
    })
    .await;
    allows("/api/users/1", "https://shop.example").await;

    world.publish(&documents[1]).await;
    until_status(&gateway.url("/scg/users/1"), 200).await;
    allows("/scg/users/1", "https://a.shop.example").await;
    allows("/no/route", "https://a.shop.example").await;
    allows("/scg/orders/1", "https://partner.example").await;
    for (path, origin) in [
        ("/scg/users/1", "https://partner.example"),
        ("/scg/orders/1", "https://a.shop.example"),
    ] {
        assert_eq!(preflight(&gateway, path, origin).await, (403, None));
    }
    let served = upstream.served();
    allows("/scg/users/1", "https://b.shop.example").await;
    assert_eq!(upstream.served(), served, "the gateway answers preflights");
}

#[tokio::test(flavor = "multi_thread")]
async fn circuit_breaker() {
    let (world, upstream, _registered, gateway) = World::small().await;
    for (document, prefix) in documents("circuit-breaker")
        .iter()
        .zip(["/scg/users", "/api/users"])
    {
        world.publish(document).await;
        until_status(&gateway.url(&format!("{prefix}/1")), 200).await;
        let before = upstream.served();
        for _ in 0..5 {
            let answer = ask(&gateway, &format!("{prefix}/status/500"), &[]).await;
            assert_eq!(answer, (503, "back soon".to_owned()), "{prefix}");
        }
        let asked = upstream.served() - before;
        assert!(asked <= 2, "{prefix}: {asked} requests reached the service");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel() {
    let settings = blocks("sentinel").remove(0).text;
    let (world, _upstream, _registered, gateway) = World::small_with(&settings).await;
    let client = world.client();
    for (data_id, kind) in [
        ("gateway-gw-api-groups", "groups"),
        ("gateway-gw-flow-rules", "rules"),
    ] {
        let name = pailou_nacos::ConfigName::new("SENTINEL_GROUP", data_id);
        let text = json("sentinel", kind);
        client
            .publish_config(&name, text, pailou_nacos::Publish::default())
            .await
            .expect("a publish");
    }
    world.publish(&documents("sentinel")[0]).await;
    gateway
        .logged(&["flow rules are in force", "\"rules\":2"])
        .await;
    until_status(&gateway.url("/api/orders/1"), 200).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(ask(&gateway, "/api/users/1", &[]).await.0);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429]);
    let tenant = [("x-tenant", "one")];
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(ask(&gateway, "/api/orders/1", &tenant).await);
    }
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 429]);
    assert!(
        answers[2].1.contains("ParamFlowException"),
        "{}",
        answers[2].1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits() {
    let settings = blocks("limits")
        .into_iter()
        .find(|block| block.kind == "gateway");
    let (world, _upstream, _registered, gateway) =
        World::small_with(&settings.expect("settings").text).await;
    let documents = documents("limits");
    world.publish(&documents[0]).await;
    until_status(&gateway.url("/api/keyed/1"), 200).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(&gateway, "/api/users/1", &[]).await.0);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    assert_eq!(
        ask(&gateway, "/api/keyed/1", &[("x-api-key", "a")]).await.0,
        200
    );

    world.publish(&documents[1]).await;
    until_status(&gateway.url("/api/users/1"), 404).await;
    for (tenant, expected) in [("a", 200), ("a", 200), ("a", 429), ("b", 200)] {
        let asked = [("x-tenant", tenant)];
        assert_eq!(ask(&gateway, "/tenants/1", &asked).await.0, expected);
    }
    // The third request of the four did not come so far.
    let shadowed = "pailou_rate_limit_shadowed_total{limit=\"trial\"}";
    assert_eq!(gateway.value(shadowed).await, 2);

    world.publish(&documents[2]).await;
    until_status(&gateway.url("/tenants/1"), 404).await;
    let client = reqwest::Client::new();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = client
            .get(gateway.url("/scg/1"))
            .send()
            .await
            .expect("an answer");
        let left = answer.headers()["x-ratelimit-remaining"]
            .to_str()
            .expect("ASCII")
            .to_owned();
        seen.push((answer.status().as_u16(), left));
    }
    let expected = [(200, "1"), (200, "0"), (429, "0")];
    assert_eq!(
        seen,
        expected.map(|(status, left)| (status, left.to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_at_once() {
    let block = blocks("limits")
        .into_iter()
        .find(|block| block.kind == "at-once");
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(&block.expect("a block").text).await;
    until_status(&gateway.url("/reports/1"), 200).await;
    assert_eq!(ask(&gateway, "/search/1", &[]).await.0, 200);
    for (limit, places) in [("/reports/**", 20), ("user-service", 10)] {
        let name = format!("pailou_concurrency_places{{limit=\"{limit}\"}}");
        assert_eq!(gateway.value(&name).await, places);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(&documents("faults")[0]).await;
    let armed = [("x-inject-fault", "1")];
    until("the fault", async || {
        (ask(&gateway, "/api/users/1", &armed).await.0 == 503).then_some(())
    })
    .await;
    let began = std::time::Instant::now();
    let (_, body) = ask(&gateway, "/api/users/1", &armed).await;
    assert!(body.contains("\"fault_injected\""), "{body}");
    assert!(began.elapsed() >= std::time::Duration::from_millis(100));
    assert_eq!(ask(&gateway, "/api/users/1", &[]).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn compression() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(&documents("compression")[0]).await;
    until("a compressed answer", async || {
        let asked = reqwest::Client::new().get(gateway.url("/api/users/headers"));
        let asked = asked
            .header("accept-encoding", "gzip")
            .header("x-long", "x".repeat(2_000));
        let answer = asked.send().await.expect("an answer");
        let coding = answer.headers().get("content-encoding");
        coding.is_some_and(|coding| coding == "gzip").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mirror() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let other = Upstream::start("other");
    let _next = world.register("user-service-next", other.address()).await;
    let documents = documents("mirror");
    let all = documents[0].replace("percent: 10", "percent: 100");
    world.publish(&all).await;
    until("a copy", async || {
        assert_eq!(ask(&gateway, "/api/users/1", &[]).await.0, 200);
        (other.served() > 0).then_some(())
    })
    .await;
    let old = documents[1].replace("127.0.0.1:8080", &other.address().to_string());
    world.publish(&old).await;
    until("an answer of the old gateway that agrees", async || {
        assert_eq!(ask(&gateway, "/api/users/1", &[]).await.0, 200);
        let agreed =
            "pailou_mirror_answers_total{mirror=\"old\",class=\"2xx\",agreement=\"same_status\"} ";
        let metrics = gateway.metrics().await;
        let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(agreed));
        lines.any(|count| count != "0").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_in_redis() {
    let redis = Redis::start().await;
    let text = |kind: &str| {
        let block = blocks("limits")
            .into_iter()
            .find(|block| block.kind == kind);
        block.expect("a block").text
    };
    let settings = text("redis").replace("10.0.0.7", &format!("'{}'", redis.address()));
    let (world, _upstream, _registered, gateway) = World::small_with(&settings).await;
    until_up(&gateway, true).await;
    world.publish(&text("shared")).await;
    until_status(&gateway.url("/api/users/1"), 404).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(&gateway, "/shared/1", &[]).await.0);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
}
