//! Steps that wait, answer, or change a body, through the real binary.

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use tokio::net::TcpListener;

use crate::support::until;
use crate::support::world::{World, until_status};

/// A service that says who a token belongs to.
async fn authentication() -> std::net::SocketAddr {
    let check = async |headers: HeaderMap| match headers.get("authorization") {
        Some(token) if token == "Bearer good" => {
            (StatusCode::OK, [("x-user", "seven")], "").into_response()
        }
        Some(token) if token == "Bearer fault" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => (StatusCode::FORBIDDEN, "not you").into_response(),
    };
    let service = Router::new().fallback(check);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

const GATED: &str = "
routes:
  /api/users/**:
    service: user-service
    filters: [ { forward_auth: { service: auth-service, path: /check, copy_headers: [x-user] } } ]
  /new/**: { filters: [ { redirect: { status: 308, to: 'https://new.example{target}' } } ] }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_asks_a_service_that_only_a_filter_names() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    let _auth = world.register("auth-service", authentication().await).await;
    world.publish(GATED).await;
    until_status(&gateway.url("/api/users/1"), 403).await;

    let client = reqwest::Client::new();
    let asked = client
        .get(gateway.url("/api/users/headers"))
        .header("authorization", "Bearer good")
        .header("x-user", "forged");
    let answer = asked.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let seen = answer.text().await.expect("a body");
    assert!(seen.contains("seven") && !seen.contains("forged"), "{seen}");

    // Without a clear word the gate stays closed.
    let asked = client
        .get(gateway.url("/api/users/1"))
        .header("authorization", "Bearer fault");
    let answer = asked.send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    let problem = answer.text().await.expect("a body");
    assert!(problem.contains("gate_failed"), "{problem}");

    // A route without the filter does not ask.
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    until_status(&gateway.url("/api/users/1"), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_a_service_answers_and_shows_in_the_admin_interface() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(GATED).await;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    gateway
        .admin_until("the route", "/api/v1/routes", |routes| {
            routes.to_string().contains("/new/**")
        })
        .await;
    let answer = client.get(gateway.url("/new/a?b=c")).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 308);
    assert_eq!(
        answer.headers()["location"],
        "https://new.example/new/a?b=c"
    );
    until("the request to be counted", async || {
        let metrics = gateway.metrics().await;
        let counted = "pailou_requests_total{route=\"/new/**\"";
        metrics.contains(counted).then_some(())
    })
    .await;
    // Nobody answers: that is no route.
    world
        .publish("routes: { /x/**: { filters: [ { prefix: /v2 } ] } }")
        .await;
    gateway
        .logged(&["neither `service` nor `to` is given"])
        .await;
    assert_eq!(
        client
            .get(gateway.url("/new/a"))
            .send()
            .await
            .expect("an answer")
            .status(),
        308,
        "the last good document stays"
    );
}
