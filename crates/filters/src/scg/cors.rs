//! `Cors`: whom a browser may hand an answer to. Documents have it as `globalcors`
//! and `metadata.cors`, and its reader puts it in front of a route's filters.

mod config;

use std::str::FromStr;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use pailou_config::{Compat, Field, Report, UnroutedSpec};

use super::path_glob::PathGlob;
use crate::{Answer, Change, Edit, Facts, Next, RequestHead, Rule, Scope, Step, registry::Entry};
use config::Config;

pub(crate) const ENTRY: Entry = Entry::steps(
    "Cors",
    "{ '/**': { allowedOrigins: https://shop.example, allowedMethods: [GET, POST], allowedHeaders: '*', allowCredentials: true, maxAge: 3600 } }",
    "Answers preflights and says in responses which origins a browser may hand them to, by path pattern; a foreign origin is 403.",
    compile,
);

/// What says that the answer is another one for another origin.
const VARIES: [HeaderName; 3] = [
    ORIGIN,
    ACCESS_CONTROL_REQUEST_METHOD,
    ACCESS_CONTROL_REQUEST_HEADERS,
];

/// Fields of the service's that the gateway's own take the place of.
const OURS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// What Spring's `DefaultCorsProcessor` does, with one difference: if these settings
/// apply, the service's own CORS fields are removed, since a browser refuses an
/// answer with both.
///
/// The first pattern that takes the path counts. A path that no pattern takes passes
/// as if there were no settings.
#[derive(Debug)]
struct Cors(Vec<(PathGlob, Config)>);

fn compile(field: &Field<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let cors = read(field)?;
    Some(vec![
        Step::Rule(Rule::Preflights),
        Step::Edit(Box::new(cors)),
    ])
}

/// What is allowed, where a route says so by itself.
pub(crate) struct Allowed {
    /// Texts in which a star is any text.
    pub(crate) origins: Vec<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) headers: Vec<String>,
    pub(crate) exposed: Vec<String>,
    pub(crate) credentials: bool,
    pub(crate) max_age: Option<Duration>,
}

/// The step for requests of every path. Nothing where the names cannot stand in a header.
pub(crate) fn for_every_path(allowed: Allowed) -> Option<impl Edit + use<>> {
    let every = PathGlob::parse("/**")?;
    Some(Cors(vec![(every, Config::of(allowed)?)]))
}

/// What the `globalcors` of a document say of requests that no route takes.
#[derive(Debug)]
pub struct UnroutedCors {
    cors: Cors,
    is_served: bool,
    compat: Compat,
}

impl UnroutedCors {
    /// Reads the settings; what is wrong with them goes to the report.
    pub fn compile(spec: &UnroutedSpec, compat: Compat, report: &Report) -> Option<UnroutedCors> {
        let field = Field::new(&spec.cors.args, spec.cors.path.clone(), report);
        Some(UnroutedCors {
            cors: read(&field)?,
            is_served: spec.is_served,
            compat,
        })
    }

    /// Answers a request that no route takes, or says what the 404 is to have.
    /// Spring's mapping of routes answers preflights itself where the settings are
    /// not for all requests: with 403, or in 5.0 with an empty 200.
    pub fn answer(&self, head: &mut RequestHead<'_>) -> Option<Box<Answer>> {
        if self.is_served {
            return self.cors.answer(head);
        }
        let is_preflight = *head.method == Method::OPTIONS
            && head.headers.contains_key(ORIGIN)
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        match (is_preflight, self.compat) {
            (false, _) => None,
            (true, Compat::V4) => {
                vary(head);
                Some(refused())
            }
            (true, Compat::V5) => Some(Box::default()),
        }
    }
}

fn read(field: &Field<'_>) -> Option<Cors> {
    let entries = field.entries()?;
    let count = entries.len();
    let read: Vec<_> = entries
        .into_iter()
        .filter_map(|(key, field)| {
            let pattern = PathGlob::parse(&key.text);
            if pattern.is_none() {
                field.fault_expected(
                    format!(
                        "`{}` is not a pattern that CORS settings can have here",
                        key.text.escape_debug()
                    ),
                    "a path with `*`, `?`, `{name}` or `**`",
                );
            }
            let config = Config::read(&field);
            Some((pattern?, config?))
        })
        .collect();
    if read.len() < count {
        return None;
    }
    Some(Cors(read))
}

impl Edit for Cors {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        self.answer(head).map_or(Next::Continue, Next::Answer)
    }
}

impl Cors {
    fn answer(&self, head: &mut RequestHead<'_>) -> Option<Box<Answer>> {
        let path = head.facts.path();
        let (_, config) = self.0.iter().find(|(pattern, _)| pattern.matches(path))?;
        vary(head);
        let origin = head.headers.get(ORIGIN)?;
        if is_same_origin(head.facts, origin) {
            return None;
        }
        let asked = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
        let preflight = asked.filter(|_| *head.method == Method::OPTIONS);
        let Some(said) = said(config, head, origin, preflight) else {
            return Some(refused());
        };
        let is_preflight = preflight.is_some();
        let changes = &mut head.effects.response;
        changes.extend(OURS.map(Change::Remove));
        changes.extend(
            said.into_iter()
                .map(|(name, value)| Change::Set(name, value)),
        );
        is_preflight.then(Box::default)
    }
}

/// Says that the answer is another one for another origin.
fn vary(head: &mut RequestHead<'_>) {
    for name in VARIES.iter().rev() {
        let value = HeaderValue::from_str(&spelled(name));
        let change = value.ok().map(|value| Change::Prepend(VARY, value));
        head.effects.response.extend(change);
    }
}

fn refused() -> Box<Answer> {
    Box::new(Answer {
        status: StatusCode::FORBIDDEN,
        ..Answer::default()
    })
}

/// What the answer to a browser says; nothing if it is refused.
fn said(
    config: &Config,
    head: &RequestHead<'_>,
    origin: &HeaderValue,
    preflight: Option<&HeaderValue>,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut said = vec![(ACCESS_CONTROL_ALLOW_ORIGIN, config.origin(origin)?)];
    let method = match preflight {
        Some(asked) => asked.to_str().ok()?,
        None => head.method.as_str(),
    };
    let methods = config.methods(method)?;
    if preflight.is_some() {
        said.push((ACCESS_CONTROL_ALLOW_METHODS, methods));
        let headers = config.headers(&asked_headers(head.headers))?;
        said.extend(headers.map(|headers| (ACCESS_CONTROL_ALLOW_HEADERS, headers)));
    }
    let exposed = config.exposed.clone();
    said.extend(exposed.map(|exposed| (ACCESS_CONTROL_EXPOSE_HEADERS, exposed)));
    if config.credentials {
        said.push((
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        ));
    }
    if let Some(max_age) = config.max_age.filter(|_| preflight.is_some()) {
        said.push((ACCESS_CONTROL_MAX_AGE, HeaderValue::from(max_age)));
    }
    Some(said)
}

/// The names that a preflight asks for.
fn asked_headers(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let names = texts.flat_map(|text| text.split(',')).map(str::trim);
    names.filter(|name| !name.is_empty()).collect()
}

/// Whether the origin is the request's own: scheme, host and port.
fn is_same_origin(facts: &Facts, origin: &HeaderValue) -> bool {
    let origin = origin
        .to_str()
        .ok()
        .and_then(|text| Uri::from_str(text).ok());
    let Some(origin) = origin else {
        return false;
    };
    let host = Uri::try_from(facts.host.as_bytes());
    let Some(own) = host.ok().and_then(|host| host.into_parts().authority) else {
        return false;
    };
    let (Some(scheme), Some(theirs)) = (origin.scheme_str(), origin.authority()) else {
        return false;
    };
    let port =
        |port: Option<u16>, scheme: &str| port.unwrap_or(if scheme == "https" { 443 } else { 80 });
    scheme == facts.scheme
        && theirs.host().eq_ignore_ascii_case(own.host())
        && port(theirs.port_u16(), scheme) == port(own.port_u16(), facts.scheme)
}

/// A name with capitals, as Spring writes it.
fn spelled(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| {
        let (first, rest) = word.split_at(1.min(word.len()));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests;
