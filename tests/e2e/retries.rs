//! What a route has tried again: answers by status and method, and tries that take too long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use reqwest::Method;
use tokio::net::TcpListener;

use crate::support::gateway::Gateway;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_answered_by};

/// A service that answers by the end of the path: a status, `later` (503 with `Retry-After: 1`), `much-later` (with 100), `hang`.
#[derive(Clone, Default)]
struct Poor(Arc<AtomicU64>);

impl Poor {
    async fn start() -> (Poor, SocketAddr) {
        let poor = Poor::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().fallback(serve).with_state(poor.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("served") });
        (poor, address)
    }

    fn asked(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

async fn serve(State(poor): State<Poor>, request: Request) -> Response {
    poor.0.fetch_add(1, SeqCst);
    let later = |seconds: &'static str| {
        (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", seconds)]).into_response()
    };
    let name = ("x-instance", "poor");
    let end = request.uri().path().rsplit('/').next().unwrap_or_default();
    match end {
        "later" => later("1"),
        "much-later" => later("100"),
        "hang" => std::future::pending().await,
        end => match end
            .parse()
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok())
        {
            Some(status) => ([name], status).into_response(),
            None => ([name], "fine").into_response(),
        },
    }
}

const ROUTES: &str = "
routes:
  /plain/**: user-service
  /by-status/**: { service: user-service, retries: { count: 2, statuses: [429, 5xx] } }
  /by-method/**: { service: user-service, retries: { count: 2, statuses: 503, methods: [POST] } }
  /by-time/**: { service: user-service, timeout: 20s, retries: { count: 2, try_timeout: 300ms } }
";

/// A sound instance, a poor one, and a gateway that says what it tried.
async fn pair() -> (
    World,
    Upstream,
    Poor,
    Vec<crate::support::world::Registered>,
    Gateway,
) {
    let world = World::new().await;
    let sound = Upstream::start("sound");
    let (poor, address) = Poor::start().await;
    let registered = vec![
        world.register("user-service", sound.address()).await,
        world.register("user-service", address).await,
    ];
    world.publish(ROUTES).await;
    let gateway = world.gateway_with("retry: { tries_header: x-tries }").await;
    let gateway = gateway.ready().await;
    for name in ["sound", "poor"] {
        until_answered_by(&gateway.url("/plain/x"), name).await;
    }
    (world, sound, poor, registered, gateway)
}

async fn ask(gateway: &Gateway, method: Method, path: &str) -> (u16, String) {
    let client = reqwest::Client::new();
    let answer = client.request(method, gateway.url(path)).send().await;
    let answer = answer.expect("an answer");
    let tries = answer.headers().get("x-tries");
    let tries = tries.map(|tries| tries.to_str().expect("ASCII").to_owned());
    (answer.status().as_u16(), tries.unwrap_or_default())
}

/// The answers to so many requests, of which each instance gets its turn first.
async fn statuses(gateway: &Gateway, method: &Method, path: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(ask(gateway, method.clone(), path).await.0);
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_asked_for_again_by_status_and_method() {
    let (_world, _sound, poor, _registered, gateway) = pair().await;
    // The scripted upstream answers any other path with 200.
    for (method, path, expected) in [
        (Method::GET, "/by-status/429", &[200][..]),
        (Method::GET, "/by-status/500", &[200]),
        (Method::GET, "/by-status/404", &[200, 404]),
        (Method::POST, "/by-status/500", &[200, 500]),
        (Method::POST, "/by-method/503", &[200]),
        (Method::GET, "/by-method/503", &[200, 503]),
        (Method::GET, "/plain/503", &[200, 503]),
    ] {
        let before = poor.asked();
        assert_eq!(
            statuses(&gateway, &method, path).await,
            expected,
            "{method} {path}"
        );
        assert!(poor.asked() > before, "{method} {path}");
    }
    // Where all fail, the client gets the last answer, and can see each.
    let (status, tries) = ask(&gateway, Method::GET, "/by-status/status/503").await;
    assert_eq!(status, 503);
    assert_eq!(tries.split(", ").count(), 2, "{tries}");
    assert!(tries.contains("503"), "{tries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_takes_too_long_is_followed_by_another() {
    let (_world, _sound, poor, _registered, gateway) = pair().await;
    let (began, before) = (Instant::now(), poor.asked());
    for _ in 0..4 {
        let (status, tries) = ask(&gateway, Method::GET, "/by-time/hang").await;
        assert_eq!(status, 200, "{tries}");
    }
    assert!(poor.asked() > before);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    // It may have been done already: not twice.
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(ask(&gateway, Method::POST, "/by-time/hang").await.0);
    }
    assert!(seen.contains(&504) && seen.contains(&200), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_when_it_wants_to_be_asked_for_again() {
    let (_world, _sound, _poor, _registered, gateway) = pair().await;
    let mut waited = 0;
    for _ in 0..4 {
        let began = Instant::now();
        let (status, tries) = ask(&gateway, Method::GET, "/by-status/later").await;
        assert_eq!(status, 200);
        if tries.contains("503") {
            waited += 1;
            assert!(began.elapsed() >= Duration::from_secs(1), "{tries}");
        }
    }
    assert!(waited > 0);
    // That is more than the request has: the client decides.
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(ask(&gateway, Method::GET, "/by-status/much-later").await.0);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [200, 503]);
}
