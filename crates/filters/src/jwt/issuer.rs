//! Whose tokens are taken: an issuer, its keys, and what its tokens must say.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::uri::PathAndQuery;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode};
use pailou_config::{Field, Fields, TargetSpec, UpstreamUrl, UrlSpec};
use serde_json::{Map, Value};

use super::keys::KeySet;
use crate::introspect::host_of;
use crate::registry::Scope;
use crate::sources::{Kind, Place, Source};
use crate::token::MALFORMED;

const REFRESH: Duration = Duration::from_secs(300);
const REFRESHES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(24 * 60 * 60);

/// Secrets of fewer bytes can be guessed from one token (RFC 7518 section 3.2).
const LEAST_SECRET_BYTES: usize = 32;

/// Keys that are tried for a token that names none.
const MOST_TRIED: usize = 8;

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
];

#[derive(Debug)]
pub(super) struct Issuer {
    /// What `iss` must be; anything if it is not given.
    pub(super) name: Option<String>,
    /// One of these must be in `aud`; it is not looked at where none are given.
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    /// They stand in the route document.
    Fixed(Arc<KeySet>),
    Followed(Arc<Source>),
}

/// Why an issuer's keys do not take a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// There are no keys yet.
    NoKeys,
    /// None of the keys is the one that the token names.
    UnknownKey,
    /// Its time is over.
    Expired,
    /// It cannot be taken, whatever the keys: why.
    Invalid(&'static str),
}

impl Issuer {
    pub(super) fn read(fields: &mut Fields<'_>, scope: &Scope<'_>) -> Option<Issuer> {
        let name = fields.optional("issuer").map(|field| text(&field));
        let audiences = fields.optional("audience").map(|field| field.each(text));
        let algorithms = fields.optional("algorithms").map(|field| {
            let chosen = field.each(|item| item.one_of(ALGORITHMS))?;
            if chosen.is_empty() {
                field.fault_expected("an empty list", "algorithms such as RS256");
            }
            (!chosen.is_empty()).then_some(chosen)
        });
        let keys = fields
            .required("keys")
            .and_then(|field| keys(&field, scope));
        let all = || Some(ALGORITHMS.iter().map(|(_, algorithm)| *algorithm).collect());
        Some(Issuer {
            name: name.map_or(Some(None), |name| name.map(Some))?,
            audiences: audiences.unwrap_or_else(|| Some(Vec::new()))?,
            algorithms: algorithms.unwrap_or_else(all)?,
            keys: keys?,
        })
    }

    pub(super) fn source(&self) -> Option<&Arc<Source>> {
        match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Followed(source) => Some(source),
        }
    }

    fn keys(&self) -> Option<Arc<KeySet>> {
        match &self.keys {
            Keys::Fixed(keys) => Some(Arc::clone(keys)),
            Keys::Followed(source) => source.keys(),
        }
    }

    /// Tells the keys in use from those of other times.
    pub(super) fn keys_number(&self) -> Option<u64> {
        self.keys().map(|keys| keys.number())
    }

    /// Verifies a token: its claims, and the number of the keys that took it.
    pub(super) fn verify(
        &self,
        token: &[u8],
        header: &Header,
        leeway: u64,
    ) -> Result<(Map<String, Value>, u64), Rejected> {
        if !self.algorithms.contains(&header.alg) {
            return Err(Rejected::Invalid("the algorithm is not one that is taken"));
        }
        let keys = self.keys().ok_or(Rejected::NoKeys)?;
        let id = header.kid.as_deref();
        if keys.lacks(id) {
            return Err(Rejected::UnknownKey);
        }
        let validation = self.validation(header.alg, leeway);
        let mut rejected = Rejected::Invalid("no key takes the algorithm");
        for key in keys.candidates(id, header.alg).take(MOST_TRIED) {
            match decode::<Map<String, Value>>(token, &key.key, &validation) {
                Ok(data) => return Ok((data.claims, keys.number())),
                Err(error) => rejected = reason(error.kind()),
            }
            // What another key cannot heal.
            if rejected != Rejected::Invalid(SIGNATURE) {
                break;
            }
        }
        Err(rejected)
    }

    fn validation(&self, algorithm: Algorithm, leeway: u64) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = leeway;
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if let Some(name) = &self.name {
            validation.set_issuer(&[name]);
            required.push("iss");
        }
        validation.validate_aud = !self.audiences.is_empty();
        if validation.validate_aud {
            validation.set_audience(&self.audiences);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

const SIGNATURE: &str = "the signature is wrong";

fn reason(kind: &ErrorKind) -> Rejected {
    Rejected::Invalid(match kind {
        ErrorKind::ExpiredSignature => return Rejected::Expired,
        ErrorKind::InvalidSignature => SIGNATURE,
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the issuer is another one",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::MissingRequiredClaim(claim) if claim == "exp" => "the token has no end",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks a claim",
        _ => MALFORMED,
    })
}

fn text(field: &Field<'_>) -> Option<String> {
    let text = field.string()?;
    if text.is_empty() {
        field.fault_expected("an empty text", "an issuer or an audience");
        return None;
    }
    Some(text)
}

/// A URL, or a mapping that says where they stand.
fn keys(field: &Field<'_>, scope: &Scope<'_>) -> Option<Keys> {
    if field.is_scalar() {
        let place = url(field, REFRESH, scope)?;
        return Some(followed(Kind::Keys, place, scope));
    }
    const EXPECTED: &str =
        "a URL, or a mapping with one of url, service, to, file, config, secret_file, pem, secret";
    let mut fields = field.mapping()?;
    let refresh = fields.optional("refresh");
    let every = match &refresh {
        Some(refresh) => refresh.duration(REFRESHES),
        None => Some(REFRESH),
    };
    let path = fields.optional("path");
    let target = TargetSpec::read(&mut fields);
    let names = ["url", "file", "config", "secret_file", "pem", "secret"];
    let mut given: Vec<_> = names
        .into_iter()
        .filter_map(|name| Some((name, fields.optional(name)?)))
        .collect();
    fields.finish();
    let is_asked = target.is_some() || given.iter().any(|(name, _)| *name == "url");
    if let (Some(refresh), false) = (&refresh, is_asked) {
        refresh.fault("only keys of a URL or a service are asked for again and again");
    }
    if let (Some(path), None) = (&path, &target) {
        path.fault("`path` is for `service` and `to`");
    }
    match (target, given.pop(), given.pop()) {
        (Some(target), None, None) => {
            let place = endpoint(&target?, path.as_ref(), every?, field, scope)?;
            Some(followed(Kind::Keys, place, scope))
        }
        (None, Some((name, value)), None) => one(name, &value, every?, scope),
        _ => {
            field.fault_expected("no place of keys, or more than one", EXPECTED);
            None
        }
    }
}

fn one(name: &str, field: &Field<'_>, every: Duration, scope: &Scope<'_>) -> Option<Keys> {
    let fixed = |keys: Result<KeySet, String>| match keys {
        Ok(keys) => Some(Keys::Fixed(Arc::new(keys))),
        Err(problem) => {
            field.fault(problem);
            None
        }
    };
    let sources = scope.shared.sources();
    match name {
        "url" => Some(followed(Kind::Keys, url(field, every, scope)?, scope)),
        "secret_file" => {
            let place = Place::named(sources, "file", field)?;
            Some(followed(Kind::Secret, place, scope))
        }
        "pem" => fixed(KeySet::of_pem(field.string()?.trim_start())),
        "secret" => {
            let secret = field.string()?;
            if secret.len() < LEAST_SECRET_BYTES {
                field.warn("the secret has fewer than 32 bytes: one token is enough to guess it");
            }
            fixed(KeySet::of_secret(&secret))
        }
        name => Some(followed(
            Kind::Keys,
            Place::named(sources, name, field)?,
            scope,
        )),
    }
}

fn followed(kind: Kind, place: Place, scope: &Scope<'_>) -> Keys {
    Keys::Followed(scope.shared.sources().source(kind, place))
}

/// `https://login.example/.well-known/jwks.json`
fn url(field: &Field<'_>, refresh: Duration, scope: &Scope<'_>) -> Option<Place> {
    let text = field.string()?;
    let after = text.find("://").map_or(0, |at| at + 3);
    let end = text[after..].find('/').map_or(text.len(), |at| after + at);
    let (base, path) = text.split_at(end);
    let url = UpstreamUrl::parse(base);
    let path = PathAndQuery::try_from(if path.is_empty() { "/" } else { path });
    let (Ok(url), Ok(path), false) = (url, path, text.contains('#')) else {
        field.fault_expected(
            field.quoted(),
            "a URL such as https://login.example/.well-known/jwks.json",
        );
        return None;
    };
    let host = HeaderValue::try_from(base[after..].to_ascii_lowercase()).ok()?;
    let target = TargetSpec::Url(UrlSpec {
        url,
        tls: None,
        health_check: None,
        endpoint_limit: None,
    });
    Some(Place::Endpoint {
        destination: Box::new(scope.destinations.destination(&target, field)?),
        host,
        path,
        refresh,
    })
}

fn endpoint(
    target: &TargetSpec,
    path: Option<&Field<'_>>,
    refresh: Duration,
    field: &Field<'_>,
    scope: &Scope<'_>,
) -> Option<Place> {
    let Some(path) = path else {
        field.fault("`path` is missing");
        return None;
    };
    let text = path.string()?;
    let Some(Ok(path)) = text.starts_with('/').then(|| PathAndQuery::try_from(text)) else {
        path.fault_expected(path.quoted(), "a path such as `/oauth2/jwks`");
        return None;
    };
    Some(Place::Endpoint {
        destination: Box::new(scope.destinations.destination(target, field)?),
        host: host_of(target)?,
        path,
        refresh,
    })
}
