//! The monitoring API of a service that registers itself in Nacos, in the same form as in the samples: whether it is
//! registered, which instances a service has, and requests to leave Nacos and to come back.
//!
//! The two requests that change something touch only the gateway's own registration. They need the token of the settings,
//! since not everybody who may read may also take the gateway out.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use pailou_config::{Secret, Settings};
use pailou_discovery::{RegistrationView, SessionView};
use pailou_nacos::{Client, Instance, ServiceName};
use pailou_upstream::ServiceId;
use serde::Serialize;
use tokio::sync::Mutex;

use super::{Facts, Phase, problem};

/// How long a registration may take to be confirmed before it is said to be under way.
const CONFIRMATION: Duration = Duration::from_secs(3);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// What these requests need beside the facts.
pub(crate) struct Monitoring {
    client: Client,
    /// The group of services that are named without one.
    group: String,
    /// The namespace that `client` asks in.
    namespace: String,
    token: Option<Secret>,
    /// Whether Nacos is asked for services that the gateway does not follow.
    any_service: bool,
    /// One change at a time: the gateway must have left before it comes back.
    changing: Mutex<()>,
}

impl Monitoring {
    /// Without a token nothing can be changed.
    pub(crate) fn new(client: Client, settings: &Settings) -> Monitoring {
        Monitoring {
            client,
            group: settings.nacos.group.clone(),
            namespace: settings.nacos.namespace.clone(),
            token: settings.admin.token.clone(),
            any_service: settings.admin.any_service,
            changing: Mutex::default(),
        }
    }
}

impl Monitoring {
    /// Whether a route names the service, or the gateway is registered as it.
    fn follows(&self, facts: &Facts, name: &ServiceName) -> bool {
        if facts.discovery.view().registration.service == name.to_string() {
            return true;
        }
        let services = facts.services.all();
        services.iter().map(|service| service.id()).any(|id| {
            *id.nacos == *ServiceId::DEFAULT_NACOS
                && *id.namespace == *self.namespace
                && *id.group == *name.group
                && *id.name == *name.name
        })
    }
}

type Shared = State<(Arc<Facts>, Arc<Monitoring>)>;

pub(super) fn router(facts: Arc<Facts>, monitoring: Arc<Monitoring>) -> Router {
    Router::new()
        .route("/monitoring/nacos/service", get(own))
        .route("/monitoring/nacos/service/{name}/instances", get(instances))
        .route("/monitoring/nacos/service/register", post(register))
        .route("/monitoring/nacos/service/deregister", post(deregister))
        .with_state((facts, monitoring))
}

/// The gateway's own registration, and the connections that it depends on.
#[derive(Serialize)]
struct Own {
    #[serde(flatten)]
    registration: RegistrationView,
    connections: Vec<SessionView>,
}

fn own_view(facts: &Facts) -> Json<Own> {
    let view = facts.discovery.view();
    Json(Own {
        registration: view.registration,
        connections: view.sessions,
    })
}

async fn own(State((facts, _)): Shared) -> Response {
    own_view(&facts).into_response()
}

/// What Nacos says of a service at this moment.
#[derive(Serialize)]
struct Instances<'a> {
    service: String,
    count: usize,
    healthy: usize,
    /// Too few are healthy, and the server calls all of them healthy.
    protected: bool,
    instances: &'a [Instance],
}

/// By name, or by `group@@name`.
async fn instances(State((facts, monitoring)): Shared, Path(name): Path<String>) -> Response {
    let name = match name.split_once("@@") {
        Some((group, name)) => ServiceName::new(group, name),
        None => ServiceName::new(&monitoring.group, &name),
    };
    if !monitoring.any_service && !monitoring.follows(&facts, &name) {
        let detail = format!(
            "no route names the service {name}; admin.any_service: true in the settings lets any be asked for"
        );
        return problem(StatusCode::NOT_FOUND, detail);
    }
    let state = match monitoring.client.query_service(&name).await {
        Ok(state) => state,
        Err(error) => return problem(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    };
    let healthy = state.instances.iter().filter(|one| one.healthy);
    Json(Instances {
        service: name.to_string(),
        count: state.instances.len(),
        healthy: healthy.count(),
        protected: state.protected,
        instances: &state.instances,
    })
    .into_response()
}

async fn register(State((facts, monitoring)): Shared, headers: HeaderMap) -> Response {
    if let Err(refusal) = allowed(monitoring.token.as_ref(), &headers) {
        return *refusal;
    }
    let _one = monitoring.changing.lock().await;
    if let Err(refusal) = facts.register_again() {
        return problem(StatusCode::CONFLICT, refusal.to_owned());
    }
    let registered = async {
        while !facts.discovery.view().registration.registered {
            tokio::time::sleep(LOOK).await;
        }
    };
    let status = match tokio::time::timeout(CONFIRMATION, registered).await {
        Ok(()) => StatusCode::OK,
        // The gateway goes on trying. The body says why it has not succeeded yet.
        Err(_) => StatusCode::ACCEPTED,
    };
    (status, own_view(&facts)).into_response()
}

async fn deregister(State((facts, monitoring)): Shared, headers: HeaderMap) -> Response {
    if let Err(refusal) = allowed(monitoring.token.as_ref(), &headers) {
        return *refusal;
    }
    let _one = monitoring.changing.lock().await;
    tracing::info!(target: "pailou", "the gateway leaves Nacos on request");
    facts.discovery.deregister().await;
    own_view(&facts).into_response()
}

impl Facts {
    /// Registers, unless the gateway is not in the middle of its life.
    fn register_again(&self) -> Result<(), &'static str> {
        if !self.discovery.view().registration.enabled {
            return Err("registration.enabled is false in the settings");
        }
        // This holds the lock that a shutdown takes before it deregisters. A later registration would stay.
        let phase = self.lock();
        match *phase {
            Phase::Serving => {
                tracing::info!(target: "pailou", "the gateway registers in Nacos on request");
                self.discovery.register();
                Ok(())
            }
            Phase::Starting => {
                Err("the gateway is starting and registers by itself once it is ready")
            }
            Phase::Draining => Err("the gateway is shutting down"),
        }
    }
}

/// Whether a request may change something.
fn allowed(token: Option<&Secret>, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let Some(token) = token else {
        let detail = "no token is configured, so nothing can be changed here: set admin.token_file (or PAILOU_ADMIN_TOKEN) \
                      and restart";
        return Err(Box::new(problem(StatusCode::FORBIDDEN, detail.to_owned())));
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .map(|value| value.as_bytes());
    let given = given.and_then(bearer);
    if given.is_some_and(|given| is_same(given, token.expose().as_bytes())) {
        return Ok(());
    }
    let detail = "send `Authorization: Bearer` and the token of the settings (admin.token_file)";
    let mut refusal = problem(StatusCode::UNAUTHORIZED, detail.to_owned());
    let challenge = header::HeaderValue::from_static("Bearer");
    refusal
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    Err(Box::new(refusal))
}

/// What follows `Bearer`, in any case as RFC 9110 has it.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| rest.trim_ascii())
}

/// Compares in a time that does not show where two texts of the same length differ.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    let differences = given.iter().zip(expected).fold(0, |sum, (one, other)| {
        std::hint::black_box(sum | (one ^ other))
    });
    given.len() == expected.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        for (configured, sent, expected) in [
            (
                Some("0123456789abcdef"),
                Some("Bearer 0123456789abcdef"),
                None,
            ),
            (
                Some("0123456789abcdef"),
                Some("bearer  0123456789abcdef "),
                None,
            ),
            (
                Some("0123456789abcdef"),
                Some("Bearer 0123456789abcdeF"),
                Some(401),
            ),
            (
                Some("0123456789abcdef"),
                Some("Bearer 0123456789abcde"),
                Some(401),
            ),
            (
                Some("0123456789abcdef"),
                Some("Bearer 0123456789abcdef0"),
                Some(401),
            ),
            (
                Some("0123456789abcdef"),
                Some("Basic 0123456789abcdef"),
                Some(401),
            ),
            (Some("0123456789abcdef"), Some("Bearer "), Some(401)),
            (Some("0123456789abcdef"), Some(""), Some(401)),
            (Some("0123456789abcdef"), None, Some(401)),
            (None, Some("Bearer "), Some(403)),
            (None, None, Some(403)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(sent) = sent {
                headers.insert(header::AUTHORIZATION, sent.parse().expect("a header"));
            }
            let configured = configured.map(Secret::new);
            let refusal = allowed(configured.as_ref(), &headers).err();
            let status = refusal.map(|refusal| refusal.status().as_u16());
            assert_eq!(status, expected, "{sent:?}");
        }
    }
}
