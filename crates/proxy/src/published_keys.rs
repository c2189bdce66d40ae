//! Brings the keys that services publish to the filters that judge by them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode, Uri};
use pailou_filters::{Ask, AskError, Follower, MAX_SOURCE_BYTES, Place};
use pailou_upstream::Destination;
use tokio::time::Instant;

use crate::ask::Asking;
use crate::server::Server;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses after a failure. Each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A service that a route names for the first time is not known at once. So long it is no failure that it has no endpoint.
const FIRST_STATE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Whether the keys of a place are had by a request.
pub(crate) fn is_asked(place: &Place) -> bool {
    matches!(place, Place::Endpoint { .. })
}

/// Asks for the keys at once, again after the time of the setting, and when somebody wishes for it; after a failure sooner.
/// Ends when nobody needs them any more.
pub(crate) async fn follow(server: Arc<Server>, mut follower: Follower) {
    let Place::Endpoint {
        destination,
        host,
        path,
        refresh,
    } = follower.place().clone()
    else {
        return;
    };
    let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let asked = fetch(&server, &destination, &host, &path);
        let asked = tokio::time::timeout(TIMEOUT, asked).await;
        let taken = match asked {
            Ok(Err(Failed::Ask(AskError::NoEndpoint))) if started.elapsed() < FIRST_STATE => {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            Ok(Ok(text)) => follower.take(&text),
            Ok(Err(error)) => {
                follower.fail(&error.to_string());
                false
            }
            Err(_) => {
                follower.fail("there was no whole answer in 5s");
                false
            }
        };
        let wait = match taken {
            true => refresh,
            false => pause.min(refresh),
        };
        pause = match taken {
            true => FIRST_PAUSE,
            false => (2 * pause).min(LONGEST_PAUSE),
        };
        tokio::select! {
            () = tokio::time::sleep(jittered(wait)) => {}
            is_needed = follower.wished() => if !is_needed { return },
        }
    }
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Ask(#[from] AskError),
    #[error("the answer has the status {0}")]
    Status(StatusCode),
}

async fn fetch(
    server: &Server,
    destination: &Destination,
    host: &HeaderValue,
    path: &PathAndQuery,
) -> Result<Bytes, Failed> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = Uri::from(path.clone());
    let fields = request.headers_mut();
    fields.insert(HOST, host.clone());
    fields.insert(ACCEPT, HeaderValue::from_static("application/json, */*"));
    fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    fields.insert(USER_AGENT, HeaderValue::from_static("pailou"));
    let asking = Asking {
        server,
        reports: true,
    };
    let answer = asking.ask(destination, request, MAX_SOURCE_BYTES).await?;
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body()),
        status => Err(Failed::Status(status)),
    }
}

/// Up to a tenth less, so that gateways do not ask all at once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 - fastrand::f64() / 10.0)
}
