//! Endpoints that are asked whether they are well, beside what requests find out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::gateway::Gateway;
use crate::support::load::Load;
use crate::support::upstream::Upstream;
use crate::support::world::{Registered, World, until_answered_by, until_status};

const WELL: u8 = 0;
const SICK: u8 = 1;
const HUNG: u8 = 2;

/// A service that serves every request well, and says of its health what it is told to say.
#[derive(Clone)]
struct Patient {
    name: &'static str,
    health: Arc<AtomicU8>,
    asked: Arc<AtomicU64>,
}

impl Patient {
    async fn start(name: &'static str) -> (Patient, SocketAddr) {
        let patient = Patient {
            name,
            health: Arc::default(),
            asked: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().fallback(serve).with_state(patient.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("served") });
        (patient, address)
    }

    fn is(&self, health: u8) {
        self.health.store(health, SeqCst);
    }

    fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }
}

async fn serve(State(patient): State<Patient>, request: Request) -> Response {
    let name = ("x-instance", patient.name);
    if request.uri().path() != "/healthz" {
        let number = request.headers().get("x-number").cloned();
        let number = number.unwrap_or(HeaderValue::from_static("0"));
        return ([name], [("x-number", number)], patient.name).into_response();
    }
    patient.asked.fetch_add(1, SeqCst);
    match patient.health.load(SeqCst) {
        WELL => StatusCode::OK.into_response(),
        SICK => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => std::future::pending().await,
    }
}

/// Waits until the reasons of an endpoint and what its check said last are these.
async fn until_reasons(gateway: &Gateway, address: SocketAddr, reason: &str, last: &str) {
    let is_it = |view: &Value| {
        let endpoints = view["endpoints"].as_array();
        endpoints.into_iter().flatten().any(|endpoint| {
            endpoint["address"] == address.to_string()
                && endpoint["reasons"][0] == reason
                && endpoint["checks"][0]["last"] == last
        })
    };
    let what = format!("{address} to be {reason} after {last}");
    let path = "/api/v1/services/user-service";
    gateway.admin_until(&what, path, is_it).await;
}

async fn metric(gateway: &Gateway, name: &str, label: &str) -> u64 {
    let metrics = gateway.metrics().await;
    let line = metrics.lines().find(|line| {
        line.starts_with(name) && line.contains("user-service") && line.contains(label)
    });
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} with {label} in {metrics}"))
}

const CHECK: &str =
    "{ http: /healthz, interval: 100ms, timeout: 300ms, unhealthy_after: 2, healthy_after: 2 }";

/// Two well ones and the patient, behind a route with that check.
async fn ward(
    check: &str,
) -> (
    World,
    [Upstream; 2],
    Patient,
    SocketAddr,
    Vec<Registered>,
    Gateway,
) {
    let world = World::new().await;
    let (patient, address) = Patient::start("patient").await;
    let well = ["one", "two"].map(Upstream::start);
    let mut registered = vec![world.register("user-service", address).await];
    for upstream in &well {
        registered.push(world.register("user-service", upstream.address()).await);
    }
    let route = format!(
        "routes: {{ /u/**: {{ service: {{ name: user-service, health_check: {check} }} }} }}"
    );
    world.publish(&route).await;
    let gateway = world.gateway().await.ready().await;
    until_reasons(&gateway, address, "eligible", "passed").await;
    (world, well, patient, address, registered, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_says_it_is_sick_is_left_out_until_it_is_well_and_no_request_fails() {
    let (_world, _well, patient, address, _registered, gateway) = ward(CHECK).await;
    let load = Load::get(&gateway.url("/u/x"), 4);
    patient.is(SICK);
    until_reasons(&gateway, address, "check failed", "status 503").await;
    gateway
        .logged(&[
            "an endpoint fails its health check",
            "status 503",
            "http /healthz",
        ])
        .await;
    let state = "state=\"check_failed\"";
    assert_eq!(metric(&gateway, "pailou_service_endpoints", state).await, 1);
    let failed = metric(
        &gateway,
        "pailou_service_checks_failed_total",
        "cause=\"status\"",
    )
    .await;
    assert!(failed >= 2, "{failed}");
    let client = reqwest::Client::new();
    for _ in 0..30 {
        let answer = client
            .get(gateway.url("/u/x"))
            .send()
            .await
            .expect("an answer");
        assert_ne!(answer.headers()["x-instance"], "patient");
    }
    patient.is(WELL);
    until_answered_by(&gateway.url("/u/x"), "patient").await;
    gateway
        .logged(&["an endpoint passes its health check again"])
        .await;
    load.finish().await.assert_clean();
    assert!(metric(&gateway, "pailou_service_checks_passed_total", "").await > 0);
}

/// It accepts connections and answers nothing.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_left_out() {
    let (_world, _well, patient, address, _registered, gateway) = ward(CHECK).await;
    patient.is(HUNG);
    until_reasons(&gateway, address, "check failed", "timeout").await;
    patient.is(WELL);
    until_reasons(&gateway, address, "eligible", "passed").await;
}

/// A check that is wrong everywhere takes no service down.
#[tokio::test(flavor = "multi_thread")]
async fn most_of_a_service_is_used_again_whatever_its_checks_say() {
    let world = World::new().await;
    let (patient, address) = Patient::start("patient").await;
    let (other, second) = Patient::start("other").await;
    let _registered = [
        world.register("user-service", address).await,
        world.register("user-service", second).await,
    ];
    let route = format!(
        "routes: {{ /u/**: {{ service: {{ name: user-service, health_check: {CHECK} }} }} }}"
    );
    world.publish(&route).await;
    let gateway = world.gateway().await.ready().await;
    patient.is(SICK);
    other.is(SICK);
    for address in [address, second] {
        until_reasons(&gateway, address, "check failed", "status 503").await;
    }
    assert_eq!(metric(&gateway, "pailou_service_panic", "").await, 1);
    until_answered_by(&gateway.url("/u/x"), "patient").await;
    until_answered_by(&gateway.url("/u/x"), "other").await;
    other.is(WELL);
    until_reasons(&gateway, second, "eligible", "passed").await;
    assert_eq!(metric(&gateway, "pailou_service_panic", "").await, 0);
}

/// A dead port is found without a request.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_refuses_connections_is_left_out_before_a_request_finds_it() {
    let check = "{ tcp: true, interval: 100ms, unhealthy_after: 2 }";
    let (world, well, _patient, _address, mut registered, gateway) = ward(check).await;
    let dead = Upstream::start("dead");
    registered.push(world.register("user-service", dead.address()).await);
    until_reasons(&gateway, dead.address(), "eligible", "passed").await;
    let dead = dead.kill();
    until_reasons(&gateway, dead, "check failed", "refused").await;
    assert_eq!(
        metric(
            &gateway,
            "pailou_service_ejections_total",
            "cause=\"refused\""
        )
        .await,
        0
    );
    drop(well);
}

/// However many routes want it, an address is asked once; and not at all when none does any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_asked_once_for_all_routes_and_no_longer_than_they_want() {
    let (world, _well, patient, address, _registered, gateway) = ward(CHECK).await;
    let routes: String = (0..20)
        .map(|number| {
            format!(
                "  /r{number}/**: {{ service: {{ name: user-service, health_check: {CHECK} }} }}\n"
            )
        })
        .collect();
    world.publish(&format!("routes:\n{routes}")).await;
    until_status(&gateway.url("/r19/x"), 200).await;
    let (began, before) = (tokio::time::Instant::now(), patient.asked());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = patient.asked() - before;
    let most = began.elapsed().as_millis() as u64 / 90 + 2;
    assert!(
        (2..=most).contains(&asked),
        "asked {asked} times, {most} at most"
    );

    patient.is(SICK);
    until_reasons(&gateway, address, "check failed", "status 503").await;
    // Without the check nothing is held against it.
    world.publish("routes: { /plain/**: user-service }").await;
    until_status(&gateway.url("/plain/x"), 200).await;
    until_answered_by(&gateway.url("/plain/x"), "patient").await;
    let path = "/api/v1/services/user-service";
    let is_unchecked = |view: &Value| {
        let endpoints = view["endpoints"].as_array();
        endpoints.is_some_and(|all| all.iter().all(|one| one.get("checks").is_none()))
    };
    gateway.admin_until("no check", path, is_unchecked).await;
    let before = patient.asked();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(patient.asked() <= before + 1);
}

/// A server of `grpc.health.v1` that says what it is told to.
async fn grpc_server() -> (SocketAddr, Arc<AtomicU8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let health = Arc::new(AtomicU8::new(WELL));
    let told = health.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("a handshake");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    let (_, mut body) = request.into_parts();
                    let told = told.load(SeqCst);
                    tokio::spawn(async move {
                        let question = body.data().await.expect("a message").expect("whole");
                        assert_eq!(&question[..], b"\0\0\0\0\x09\x0a\x07a.Users");
                        // The one of NOT_SERVING is 2.
                        let message: &'static [u8] = match told {
                            WELL => b"\0\0\0\0\x02\x08\x01",
                            _ => b"\0\0\0\0\x02\x08\x02",
                        };
                        let mut head = http::Response::new(());
                        let grpc = HeaderValue::from_static("application/grpc");
                        head.headers_mut().insert("content-type", grpc);
                        let mut sent = respond.send_response(head, false).expect("sent");
                        sent.send_data(Bytes::from_static(message), false)
                            .expect("sent");
                        let mut trailers = HeaderMap::new();
                        trailers.insert("grpc-status", HeaderValue::from_static("0"));
                        sent.send_trailers(trailers).expect("sent");
                    });
                }
            });
        }
    });
    (address, health)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_not_serving_is_left_out() {
    let world = World::new().await;
    let (address, health) = grpc_server().await;
    let (second, _) = grpc_server().await;
    // No server of gRPC at all.
    let web = Upstream::start("web");
    let mut registered = Vec::new();
    for address in [address, second, web.address()] {
        registered.push(world.register("user-service", address).await);
    }
    world
        .publish(
            "routes: { /u/**: { service: { name: user-service, protocol: grpc, \
             health_check: { grpc: a.Users, interval: 100ms, unhealthy_after: 2 } } } }",
        )
        .await;
    let gateway = world.gateway().await.ready().await;
    until_reasons(&gateway, address, "eligible", "passed").await;
    health.store(SICK, SeqCst);
    until_reasons(&gateway, address, "check failed", "not_serving").await;
    health.store(WELL, SeqCst);
    until_reasons(&gateway, address, "eligible", "passed").await;
    let path = "/api/v1/services/user-service";
    let is_out = |view: &Value| {
        let endpoints = view["endpoints"].as_array();
        endpoints.into_iter().flatten().any(|endpoint| {
            endpoint["address"] == web.address().to_string()
                && endpoint["reasons"][0] == "check failed"
        })
    };
    gateway
        .admin_until("the web server to be out", path, is_out)
        .await;
}
