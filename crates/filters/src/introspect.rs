//! Lets requests pass whose token somebody else says is good.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use jsonwebtoken::get_current_timestamp;
use pailou_config::{Field, TargetSpec};
use pailou_upstream::Destination;
use serde_json::{Map, Value};

use crate::registry::{Entry, Scope};
use crate::scg::query;
use crate::sources::{Kind, Place, Source};
use crate::token::{self, Carried, Granted, Known, Refused, Rules, Tokens, Verified};
use crate::{Ask, AskError, Gate, Next, RequestHead, Step, Waiting};

pub(crate) const ENTRY: Entry = Entry::steps(
    "introspect",
    "{ service: auth-service, path: /oauth2/introspect, client_id: gateway, client_secret_file: client-secret.txt, cache: 30s, claims: { sub: x-user-id }, require: { scope: orders } }",
    "Asks the service, or `to: https://host`, whether a token is good (RFC 7662), for tokens that say nothing by themselves; its answer is known for `cache`. The rest is as with `jwt`.",
    compile,
);

/// An answer is a page of claims.
const MAX_ANSWER_BYTES: usize = 64 << 10;

const CACHE: Duration = Duration::from_secs(30);
const CACHES: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(600);

/// How long it is known that a token is not good, at most: somebody who tries one again and again costs one question in this time.
const REJECTED: Duration = Duration::from_secs(5);

const TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(60);

const INACTIVE: Refused = Refused::Invalid("the token is not active");

/// A token that is good is known until it ends, for the time of the setting at most: a token that was taken back is taken for so
/// long still. Without a clear answer the request is refused.
///
/// Cost per request: a digest and a look-up under the lock of one of sixteen shards; one request for a token that is not known.
#[derive(Debug)]
struct Introspect {
    destination: Destination,
    host: HeaderValue,
    path: Uri,
    client: Client,
    audiences: Vec<String>,
    cache: Duration,
    timeout: Duration,
    rules: Rules,
    known: Arc<Known>,
    rejected: Tokens,
}

/// Who asks.
struct Client {
    id: String,
    secret: Secret,
}

enum Secret {
    /// It stands in the route document.
    Fixed(String),
    Followed(Arc<Source>),
}

/// The secret never prints.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.id).finish()
    }
}

fn compile(field: &Field<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let target = TargetSpec::read(&mut fields);
    if target.is_none() {
        field.fault_expected(
            "nobody to ask",
            "`service: NAME`, or `to: https://HOST:PORT`",
        );
    }
    let target = target.flatten();
    let destination = target
        .as_ref()
        .and_then(|target| scope.destinations.destination(target, field));
    let path = fields.required("path").and_then(|field| path(&field));
    let id = fields.required("client_id").and_then(|id| id.string());
    let secrets = ["client_secret", "client_secret_file"];
    let mut secrets = secrets.map(|name| fields.optional(name));
    let secret = match &mut secrets {
        [Some(secret), None] => secret.string().map(Secret::Fixed),
        [None, Some(file)] => {
            let sources = scope.shared.sources();
            let place = Place::named(sources, "file", file);
            place.map(|place| Secret::Followed(sources.source(Kind::Secret, place)))
        }
        _ => {
            field.fault_expected(
                "no secret, or two",
                "`client_secret_file`, or `client_secret`",
            );
            None
        }
    };
    let audiences = match fields.optional("audience") {
        Some(audiences) => audiences.each(Field::string),
        None => Some(Vec::new()),
    };
    let mut time = |name, legal, default| match fields.optional(name) {
        Some(time) => time.duration(legal),
        None => Some(default),
    };
    let cache = time("cache", CACHES, CACHE);
    let timeout = time("timeout", TIMEOUTS, TIMEOUT);
    let rules = Rules::read(&mut fields);
    fields.finish();
    let (target, destination) = (target?, destination?);
    let asked = Some(Arc::clone(&destination.selection));
    let known = Known::new(field.node().clone(), Vec::new(), asked);
    Some(vec![Step::Gate(Box::new(Introspect {
        host: host_of(&target)?,
        destination,
        path: Uri::from(path?),
        client: Client {
            id: id?,
            secret: secret?,
        },
        audiences: audiences?,
        cache: cache?,
        timeout: timeout?,
        rules: rules?,
        known: scope.shared.tokens(known),
        rejected: Tokens::default(),
    }))])
}

fn path(field: &Field<'_>) -> Option<PathAndQuery> {
    let text = field.string()?;
    let path = text.starts_with('/').then(|| PathAndQuery::try_from(text));
    if let Some(Ok(path)) = path {
        return Some(path);
    }
    field.fault_expected(field.quoted(), "a path such as `/oauth2/introspect`");
    None
}

/// What is said of the host to whoever is asked.
pub(crate) fn host_of(target: &TargetSpec) -> Option<HeaderValue> {
    let host = match target {
        TargetSpec::Url(spec) => {
            let url = spec.url.to_string();
            let (_, host) = url.split_once("://")?;
            host.to_owned()
        }
        target => target.service()?.name.clone(),
    };
    HeaderValue::try_from(host).ok()
}

impl Introspect {
    /// What is said of a request without asking; its token otherwise.
    fn early(&self, head: &mut RequestHead<'_>) -> Result<Next, Vec<u8>> {
        let token = match self.rules.carried(head) {
            Carried::Token(token) => token,
            Carried::Next(next) => return Ok(next),
        };
        let (entry, now) = (token::Entry::of(&token), get_current_timestamp());
        if let Some(known) = self.known.tokens.get(entry, now)
            && let Some(granted) = &known.granted
        {
            return Ok(self.rules.admit(head, granted));
        }
        match self.rejected.get(entry, now) {
            Some(_) => Ok(INACTIVE.tell(head)),
            None => Err(token),
        }
    }

    fn question(&self, token: &[u8]) -> Result<Request<Bytes>, AskError> {
        let mut body = String::from("token=");
        let token = String::from_utf8_lossy(token);
        query::encode_value(&token, &mut body);
        body.push_str("&token_type_hint=access_token");
        let mut question = Request::new(Bytes::from(body));
        *question.method_mut() = Method::POST;
        *question.uri_mut() = self.path.clone();
        let length = HeaderValue::from(question.body().len());
        let fields = question.headers_mut();
        fields.insert(HOST, self.host.clone());
        fields.insert(CONTENT_LENGTH, length);
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        fields.insert(CONTENT_TYPE, form);
        fields.insert(ACCEPT, HeaderValue::from_static("application/json"));
        fields.insert(USER_AGENT, HeaderValue::from_static("pailou"));
        fields.insert(AUTHORIZATION, self.client.authorization()?);
        Ok(question)
    }

    /// What the answer says of the token: its claims, if it is good.
    fn claims(&self, answer: &Response<Bytes>) -> Result<Option<Map<String, Value>>, AskError> {
        if answer.status() != StatusCode::OK {
            return Err(AskError::Unclear);
        }
        let said: Map<String, Value> =
            serde_json::from_slice(answer.body()).map_err(|_| AskError::Unclear)?;
        let is_active = match said.get("active") {
            Some(Value::Bool(is_active)) => *is_active,
            _ => return Err(AskError::Unclear),
        };
        Ok(Some(said).filter(|said| is_active && self.is_for_us(said)))
    }

    fn is_for_us(&self, said: &Map<String, Value>) -> bool {
        let is_ours = |audience: &Value| {
            let audience = audience.as_str();
            audience.is_some_and(|audience| self.audiences.iter().any(|ours| ours == audience))
        };
        self.audiences.is_empty()
            || match said.get("aud") {
                Some(Value::Array(audiences)) => audiences.iter().any(is_ours),
                Some(audience) => is_ours(audience),
                None => false,
            }
    }

    /// Keeps what was said.
    fn keep(&self, token: &[u8], said: Option<Map<String, Value>>) -> Option<Granted> {
        let (entry, now) = (token::Entry::of(token), get_current_timestamp());
        let ends = |said: &Map<String, Value>| said.get("exp").and_then(Value::as_u64);
        // The word of whoever was asked wins, but for a token that is over by its own.
        let said = said.filter(|said| ends(said).is_none_or(|ends| ends > now));
        let Some(said) = said else {
            let rejected = Verified {
                ends: now + self.cache.min(REJECTED).as_secs(),
                ..Verified::default()
            };
            self.rejected.insert(entry, Arc::new(rejected), now);
            return None;
        };
        let known_until = now + self.cache.as_secs();
        let ends = ends(&said).map_or(known_until, |ends| ends.min(known_until));
        let granted = self.rules.grant(said);
        let verified = Verified {
            ends,
            granted: Some(granted.clone()),
            ..Verified::default()
        };
        self.known.tokens.insert(entry, Arc::new(verified), now);
        Some(granted)
    }
}

impl Client {
    /// RFC 6749 section 2.3.1: both are encoded as in a form, then Basic.
    fn authorization(&self) -> Result<HeaderValue, AskError> {
        let secret = match &self.secret {
            Secret::Fixed(secret) => secret.clone(),
            Secret::Followed(source) => {
                let keys = source.keys().ok_or(AskError::NoKeys)?;
                let secret = keys.secret().ok_or(AskError::NoKeys)?;
                String::from_utf8_lossy(secret).into_owned()
            }
        };
        let mut plain = String::new();
        query::encode_value(&self.id, &mut plain);
        plain.push(':');
        query::encode_value(&secret, &mut plain);
        let value = format!("Basic {}", STANDARD.encode(plain));
        let mut value = HeaderValue::try_from(value).map_err(|_| AskError::NoKeys)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Gate for Introspect {
    fn at_once(&self, head: &mut RequestHead<'_>) -> Option<Next> {
        self.early(head).ok()
    }

    fn request<'a>(
        &'a self,
        head: &'a mut RequestHead<'_>,
        ask: &'a dyn Ask,
    ) -> Waiting<'a, Result<Next, AskError>> {
        Box::pin(async move {
            let token = match self.early(head) {
                Ok(next) => return Ok(next),
                Err(token) => token,
            };
            let question = self.question(&token)?;
            let answer = ask
                .ask(&self.destination, question, MAX_ANSWER_BYTES)
                .await?;
            let said = self.claims(&answer)?;
            Ok(match self.keep(&token, said) {
                Some(granted) => self.rules.admit(head, &granted),
                None => INACTIVE.tell(head),
            })
        })
    }

    fn purpose(&self) -> String {
        "asks whether the token is good".to_owned()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn destinations(&self) -> Vec<&Destination> {
        vec![&self.destination]
    }
}
