//! A cookie that keeps a client at the endpoint that answered it first.
//!
//! The cookie has the endpoint's address and the time of the pick, sealed for one service, one route and one name of a cookie: nobody
//! learns an address from it, makes one up, or carries it to another route. It only ever picks an endpoint that the route's selection
//! has anyway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue};
use pailou_config::{Field, PartSpec, Report};

use crate::carrier::without_cookie;
use crate::limit_key::cookie;
use crate::registry::Scope;
use crate::sealed::Keyring;
use crate::set_cookie::{self, MAX_AGE, SameSite, SetCookie};
use crate::sources::{Kind, Place, Source};

const DEFAULT_NAME: &str = "pailou_sticky";

/// How a cookie keeps the clients of a route at endpoints.
///
/// Cost per request: a look at the cookies; with a cookie, one derived key and one short decryption.
#[derive(Debug)]
pub struct Sticky {
    keys: Keys,
    cookie: SetCookie,
    /// How long after the pick a cookie is good.
    ttl: Option<Duration>,
    forwards: bool,
    /// What the cookie is sealed for.
    purpose: Box<[u8]>,
}

#[derive(Debug)]
enum Keys {
    Given(Arc<Keyring>),
    Followed(Arc<Source>),
}

/// Where a request stays, as its cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// At this endpoint; `renews` if its cookie was sealed with a secret that is on its way out.
    At {
        /// The endpoint.
        address: SocketAddr,
        /// Whether the client gets a new cookie all the same.
        renews: bool,
    },
    /// It has no cookie.
    New,
    /// Its cookie is none of this route's.
    Invalid,
    /// Its cookie is too old.
    Expired,
}

impl Stay {
    /// The endpoint.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Stay::At { address, .. } => Some(*address),
            Stay::New | Stay::Invalid | Stay::Expired => None,
        }
    }
}

impl Sticky {
    /// Reads `sticky` of a route that goes to that service. `None` if something is wrong with it, which is reported.
    pub fn compile(
        part: &PartSpec,
        service: Option<&str>,
        report: &Report,
        scope: &Scope<'_>,
    ) -> Option<Sticky> {
        let field = part.field(report);
        let mut fields = field.mapping()?;
        let given = fields.optional("secret");
        let file = fields.optional("secret_file");
        let name = fields.optional("cookie");
        let name = name.map_or_else(|| Some(DEFAULT_NAME.to_owned()), |it| set_cookie::name(&it));
        let path = fields.optional("cookie_path");
        let path = path.map_or_else(|| Some("/".to_owned()), |it| set_cookie::path(&it));
        let same_site = fields.optional("same_site");
        let same_site = same_site.map_or(Some(SameSite::Lax), |it| it.one_of(SameSite::NAMES));
        let ttl = fields.optional("ttl");
        let ttl = ttl.map(|it| it.duration(Duration::from_secs(1)..=MAX_AGE));
        let forwards = fields.optional("forward_cookie");
        let forwards = forwards.map_or(Some(false), |it| it.boolean());
        fields.finish();
        let keys = keys(&field, given, file, scope);
        if service.is_none() {
            field.fault("the route goes to no service, so that there is no endpoint to stay at");
        }
        let (name, ttl) = (name?, ttl.map_or(Some(None), |ttl| ttl.map(Some))?);
        let purpose = format!("sticky\0{name}\0{}\0{}", scope.route, service?);
        Some(Sticky {
            keys: keys?,
            cookie: SetCookie::new(name, path?, same_site?, ttl, &field)?,
            ttl,
            forwards: forwards?,
            purpose: purpose.into_bytes().into(),
        })
    }

    /// Reads the request's cookie, and takes it out of what the endpoint gets.
    pub fn take(&self, headers: &mut HeaderMap, now: SystemTime) -> Stay {
        let name = self.cookie.name();
        let Some(sealed) = cookie(headers, name) else {
            return Stay::New;
        };
        let stay = self.open(sealed, now);
        if !self.forwards {
            without_cookie(headers, name);
        }
        stay
    }

    /// What becomes of a request that this endpoint has answered, in a word of
    /// [`STICKY_OUTCOMES`](pailou_telemetry::words::STICKY_OUTCOMES), and the cookie that its client gets, if it needs one.
    pub fn settle(
        &self,
        stay: &Stay,
        answered: SocketAddr,
        over_tls: bool,
        now: SystemTime,
    ) -> (&'static str, Option<HeaderValue>) {
        let outcome = match stay {
            Stay::At { address, renews } if *address == answered => match renews {
                false => return ("kept", None),
                true => "kept",
            },
            Stay::At { .. } => "gone",
            Stay::New => "new",
            Stay::Invalid => "invalid",
            Stay::Expired => "expired",
        };
        match self.seal(answered, over_tls, now) {
            Some(cookie) => (outcome, Some(cookie)),
            None => ("no_key", None),
        }
    }

    fn open(&self, sealed: &[u8], now: SystemTime) -> Stay {
        let opened = self.keyring().and_then(|it| it.open(&self.purpose, sealed));
        let Some(opened) = opened else {
            return Stay::Invalid;
        };
        let Some((address, picked)) = parse(&opened.text) else {
            return Stay::Invalid;
        };
        let age = seconds(now).saturating_sub(picked);
        if self.ttl.is_some_and(|ttl| age >= ttl.as_secs()) {
            return Stay::Expired;
        }
        Stay::At {
            address,
            renews: opened.is_old,
        }
    }

    fn seal(&self, address: SocketAddr, over_tls: bool, now: SystemTime) -> Option<HeaderValue> {
        let text = format!("{} {address}", seconds(now));
        let sealed = self.keyring()?.seal(&self.purpose, text.as_bytes())?;
        self.cookie.set(&sealed, over_tls)
    }

    fn keyring(&self) -> Option<Arc<Keyring>> {
        match &self.keys {
            Keys::Given(keyring) => Some(Arc::clone(keyring)),
            Keys::Followed(source) => source.keyring(),
        }
    }
}

fn keys(
    field: &Field<'_>,
    given: Option<Field<'_>>,
    file: Option<Field<'_>>,
    scope: &Scope<'_>,
) -> Option<Keys> {
    match (given, file) {
        (Some(given), None) => {
            let secrets = given.each(|secret| secret.string())?;
            let keyring = Keyring::new(secrets.iter().map(String::as_bytes));
            let keyring = keyring.map_err(|problem| given.fault(problem));
            Some(Keys::Given(Arc::new(keyring.ok()?)))
        }
        (None, Some(file)) => {
            let sources = scope.shared.sources();
            let place = Place::named(sources, "file", &file)?;
            Some(Keys::Followed(sources.source(Kind::Sealing, place)))
        }
        _ => {
            field.fault_expected("no secret, or two", "`secret` or `secret_file`");
            None
        }
    }
}

fn parse(text: &[u8]) -> Option<(SocketAddr, u64)> {
    let (picked, address) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    Some((address.parse().ok()?, picked.parse().ok()?))
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const NOW: SystemTime = UNIX_EPOCH;

    fn sticky(secrets: &[&[u8]], route: &str, ttl: Option<Duration>) -> Sticky {
        let report = Report::new("test");
        let args = pailou_config::Node::parse_yaml("test", &report).expect("YAML");
        let field = Field::new(&args, "sticky", &report);
        let (name, path) = (DEFAULT_NAME.to_owned(), "/".to_owned());
        Sticky {
            keys: Keys::Given(Arc::new(
                Keyring::new(secrets.iter().copied()).expect("legal"),
            )),
            cookie: SetCookie::new(name, path, SameSite::Lax, ttl, &field).expect("legal"),
            ttl,
            forwards: false,
            purpose: route.as_bytes().into(),
        }
    }

    fn endpoint() -> SocketAddr {
        ([127, 0, 0, 1], 80).into()
    }

    /// The headers of a client that got that cookie.
    fn sent(cookie: &HeaderValue) -> HeaderMap {
        let text = cookie.to_str().expect("ASCII");
        let pair = text.split(';').next().expect("a pair");
        let mut headers = HeaderMap::new();
        let line = format!("a=1; {pair}; b=2");
        headers.insert(COOKIE, line.parse().expect("legal"));
        headers
    }

    #[test]
    fn a_client_stays_where_it_was_answered_and_the_endpoint_gets_the_other_cookies() {
        let sticky = sticky(&[SECRET], "a", None);
        let (outcome, cookie) = sticky.settle(&Stay::New, endpoint(), true, NOW);
        let cookie = cookie.expect("a cookie");
        assert_eq!(outcome, "new");
        assert!(cookie.to_str().expect("ASCII").ends_with("; Secure"));
        let mut headers = sent(&cookie);
        let stay = sticky.take(&mut headers, NOW);
        assert_eq!(stay.address(), Some(endpoint()));
        assert_eq!(headers[COOKIE], "a=1; b=2");
        let other = ([127, 0, 0, 2], 80).into();
        assert_eq!(sticky.settle(&stay, endpoint(), true, NOW), ("kept", None));
        let (outcome, cookie) = sticky.settle(&stay, other, true, NOW);
        assert_eq!((outcome, cookie.is_some()), ("gone", true));
    }

    #[test]
    fn the_cookie_of_another_route_or_another_secret_is_not_one() {
        let (_, cookie) = sticky(&[SECRET], "a", None).settle(&Stay::New, endpoint(), false, NOW);
        let cookie = cookie.expect("a cookie");
        let new = [b'n'; 32];
        for (secrets, route, expected) in [
            (&[SECRET][..], "b", Stay::Invalid),
            (&[&new[..]], "a", Stay::Invalid),
            (
                &[&new[..], SECRET],
                "a",
                Stay::At {
                    address: endpoint(),
                    renews: true,
                },
            ),
        ] {
            let sticky = sticky(secrets, route, None);
            let stay = sticky.take(&mut sent(&cookie), NOW);
            assert_eq!(stay, expected);
            let (_, renewed) = sticky.settle(&stay, endpoint(), false, NOW);
            assert!(renewed.is_some(), "it is sealed with the first secret now");
        }
    }

    #[test]
    fn a_cookie_expires_whatever_the_client_does() {
        let ttl = Duration::from_secs(60);
        let sticky = sticky(&[SECRET], "a", Some(ttl));
        let (_, cookie) = sticky.settle(&Stay::New, endpoint(), false, NOW);
        let cookie = cookie.expect("a cookie");
        let early = sticky.take(&mut sent(&cookie), NOW + ttl - Duration::from_secs(1));
        assert_eq!(early.address(), Some(endpoint()));
        assert_eq!(sticky.take(&mut sent(&cookie), NOW + ttl), Stay::Expired);
    }
}
