//! Lets requests pass that carry a token of an issuer that is trusted.

mod cache;
mod issuer;
mod keys;
mod ring;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderName, HeaderValue};
use jsonwebtoken::{Header, dangerous, decode_header, get_current_timestamp};
use pailou_config::{Field, Node};
use pailou_upstream::Destination;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::carrier::Carrier;
use crate::except::Except;
use crate::identity::{Identity, Required, Told};
use crate::registry::{Entry, Scope};
use crate::sources::{Source, Wish};
use crate::{Ask, AskError, Change, Gate, Next, Refusal, RequestHead, Step, Waiting, header};
use cache::Tokens;
use issuer::{Issuer, Rejected};

pub(crate) use keys::KeySet;

pub(crate) const ENTRY: Entry = Entry::steps(
    "jwt",
    "{ issuer: 'https://login.example', audience: shop, keys: 'https://login.example/jwks.json', claims: { sub: x-user-id }, require: { scope: orders }, except: [/login, '/public/**'] }",
    "Lets requests pass that carry a valid token of the issuer, with its claims in headers that no client can send; any other is 401, or 403 where a claim is missing.",
    compile,
);

/// Longer tokens are refused unread.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// How long a request waits for keys that are on their way. It waits only where none are there yet, or the token names a key
/// that is not among them.
const WAIT: Duration = Duration::from_secs(1);

/// What a gate's deadline is beyond that.
const MARGIN: Duration = Duration::from_secs(1);

const LEEWAY: Duration = Duration::from_secs(30);
const LEEWAYS: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(600);

const MALFORMED: &str = "the token cannot be read";

/// RFC 7519 by RFC 8725: an algorithm must be on the list and of the key's own type, `none` is none, a token ends.
///
/// A verified token is known again by its digest until it ends or the keys change. While keys cannot be had, the last good ones
/// go on; without any the request is refused.
///
/// Cost per request: a digest of the token, and a look-up under the lock of one of sixteen shards; a signature to verify for a
/// token that is new.
#[derive(Debug)]
struct Jwt {
    issuers: Vec<Issuer>,
    from: Vec<Carrier>,
    forwards_token: bool,
    is_optional: bool,
    except: Except,
    leeway: Duration,
    required: Required,
    told: Told,
    known: Arc<Known>,
}

/// Tokens that filters with the same settings have verified, whatever their routes.
pub(crate) struct Known {
    settings: Node,
    sources: Vec<Option<Arc<Source>>>,
    tokens: Tokens,
}

/// A token that was verified.
#[derive(Debug, Default)]
struct Verified {
    /// The first second in which it is not valid any more, since 1970.
    ends: u64,
    /// Whose it is, by its place.
    issuer: usize,
    /// The keys that took it.
    keys: u64,
    identity: Arc<Identity>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether a claim is missing, or has not the value that it must have.
    lacks_claim: bool,
}

fn compile(field: &Field<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let issuers = match fields.optional("issuers") {
        Some(list) => several(&list, scope),
        None => Issuer::read(&mut fields, scope).map(|issuer| vec![issuer]),
    };
    let from = match fields.optional("from") {
        Some(from) => Carrier::list(&from),
        None => Some(vec![Carrier::Bearer]),
    };
    let mut flag = |name, default| match fields.optional(name) {
        Some(flag) => flag.boolean(),
        None => Some(default),
    };
    let forwards_token = flag("forward_token", true);
    let is_optional = flag("optional", false);
    let except = fields.optional("except").map(|field| Except::read(&field));
    let leeway = match fields.optional("leeway") {
        Some(leeway) => leeway.duration(LEEWAYS),
        None => Some(LEEWAY),
    };
    let required = fields
        .optional("require")
        .map(|field| Required::read(&field));
    let told = fields.optional("claims").map(|field| Told::read(&field));
    fields.finish();
    let issuers = issuers?;
    let sources = issuers
        .iter()
        .map(|issuer| issuer.source().cloned())
        .collect();
    Some(vec![Step::Gate(Box::new(Jwt {
        issuers,
        from: from?,
        forwards_token: forwards_token?,
        is_optional: is_optional?,
        except: except.unwrap_or_else(|| Some(Except::default()))?,
        leeway: leeway?,
        required: required.unwrap_or_else(|| Some(Required::default()))?,
        told: told.unwrap_or_else(|| Some(Told::default()))?,
        known: scope.shared.tokens(Known {
            settings: field.node().clone(),
            sources,
            tokens: Tokens::default(),
        }),
    }))])
}

/// Issuers that are told apart by `iss`.
fn several(list: &Field<'_>, scope: &Scope<'_>) -> Option<Vec<Issuer>> {
    let items = list.sequence()?;
    let issuers: Vec<_> = items
        .iter()
        .filter_map(|item| {
            let mut fields = item.mapping()?;
            let issuer = Issuer::read(&mut fields, scope);
            fields.finish();
            issuer
        })
        .collect();
    let names: BTreeSet<_> = issuers.iter().map(|issuer| &issuer.name).collect();
    let are_told_apart =
        names.len() == issuers.len() && (names.len() < 2 || !names.contains(&None));
    if items.is_empty() || !are_told_apart {
        list.fault_expected(
            "the issuers cannot be told apart",
            "a list of mappings, each with another `issuer`",
        );
        return None;
    }
    (issuers.len() == items.len()).then_some(issuers)
}

/// Neither the settings, which may hold a secret, nor what tokens say.
impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sources = &self.sources;
        let mut known = f.debug_struct("Known");
        known.field("sources", sources).finish_non_exhaustive()
    }
}

impl Known {
    /// Whether filters with these settings take the same tokens by the same keys.
    pub(crate) fn is_same(&self, other: &Known) -> bool {
        let is_same = |one: &Option<Arc<Source>>, other: &Option<Arc<Source>>| {
            one.as_ref().map(Arc::as_ptr) == other.as_ref().map(Arc::as_ptr)
        };
        self.settings == other.settings
            && self.sources.len() == other.sources.len()
            && self
                .sources
                .iter()
                .zip(&other.sources)
                .all(|(one, other)| is_same(one, other))
    }
}

/// What became of a request.
enum Judged {
    Next(Next),
    /// More is known once this source was looked at again.
    Wait(Arc<Source>),
    /// Nobody can say.
    NoKeys,
}

/// Who issued a token, unverified: it only chooses the keys.
#[derive(Deserialize)]
struct Issued {
    iss: Option<String>,
}

impl Jwt {
    /// `may_wait`: whether it is worth waiting for keys.
    fn judge(&self, head: &mut RequestHead<'_>, may_wait: bool) -> Judged {
        header::drop_in_any_spelling(head.headers, self.told.names());
        if self.except.takes(head.facts) {
            return Judged::Next(Next::Continue);
        }
        let judged = match self.token(head) {
            Err(refused) => Err(refused),
            Ok(None) if self.is_optional => return Judged::Next(Next::Continue),
            Ok(None) => Err(Refused::Missing),
            Ok(Some(token)) => self.verified(&token, head.effects.is_rehearsal),
        };
        match judged {
            Ok(verified) if verified.lacks_claim => Judged::Next(Refused::Claim.tell(head)),
            Ok(verified) => Judged::Next(self.accept(head, &verified)),
            Err(Refused::NoKeys(source)) => match source.wish(Instant::now()) {
                Wish::Granted if may_wait => Judged::Wait(source),
                _ if source.keys().is_none() => Judged::NoKeys,
                Wish::Failing => Judged::NoKeys,
                Wish::Granted | Wish::TooSoon => {
                    Judged::Next(Refused::Invalid("no key has the id of the token's").tell(head))
                }
            },
            Err(refused) => Judged::Next(refused.tell(head)),
        }
    }

    fn token(&self, head: &RequestHead<'_>) -> Result<Option<Vec<u8>>, Refused> {
        for carrier in &self.from {
            match carrier.find(head) {
                Ok(None) => {}
                Ok(Some(token)) if token.len() > MAX_TOKEN_BYTES => {
                    return Err(Refused::Invalid("the token is too long"));
                }
                Ok(Some(token)) => return Ok(Some(token.into_owned())),
                Err(_) => return Err(Refused::Invalid("there is more than one token")),
            }
        }
        Ok(None)
    }

    fn verified(&self, token: &[u8], is_rehearsal: bool) -> Result<Arc<Verified>, Refused> {
        let (entry, now) = (cache::Entry::of(token), get_current_timestamp());
        if let Some(known) = self.known.tokens.get(entry, now) {
            let keys = self.issuers.get(known.issuer).and_then(Issuer::keys_number);
            if keys == Some(known.keys) {
                return Ok(known);
            }
        }
        let verified = Arc::new(self.verify(token)?);
        if !is_rehearsal {
            self.known.tokens.insert(entry, Arc::clone(&verified), now);
        }
        Ok(verified)
    }

    fn verify(&self, token: &[u8]) -> Result<Verified, Refused> {
        let malformed = |_| Refused::Invalid(MALFORMED);
        let header: Header = decode_header(token).map_err(malformed)?;
        let at = match self.issuers.as_slice() {
            [_] => 0,
            issuers => {
                let issued: Issued = dangerous::insecure_decode_claims(token).map_err(malformed)?;
                let is_it = |issuer: &Issuer| issuer.name == issued.iss;
                let at = issuers.iter().position(is_it);
                at.ok_or(Refused::Invalid("the issuer is none that is trusted"))?
            }
        };
        let issuer = &self.issuers[at];
        let (claims, keys) = issuer
            .verify(token, &header, self.leeway.as_secs())
            .map_err(|rejected| match (rejected, issuer.source()) {
                (Rejected::NoKeys | Rejected::UnknownKey, Some(source)) => {
                    Refused::NoKeys(Arc::clone(source))
                }
                (Rejected::Expired, _) => Refused::Expired,
                (Rejected::Invalid(why), _) => Refused::Invalid(why),
                (Rejected::NoKeys | Rejected::UnknownKey, None) => {
                    Refused::Invalid("no key has the id of the token's")
                }
            })?;
        let ends = ends(&claims).saturating_add(self.leeway.as_secs() + 1);
        let identity = Identity::of_claims(claims);
        Ok(Verified {
            ends,
            issuer: at,
            keys,
            headers: self.told.headers(&identity),
            lacks_claim: self.required.missing(&identity).is_some(),
            identity: Arc::new(identity),
        })
    }

    fn accept(&self, head: &mut RequestHead<'_>, verified: &Verified) -> Next {
        if !self.forwards_token {
            self.from.iter().for_each(|carrier| carrier.remove(head));
        }
        for (name, value) in &verified.headers {
            head.headers.append(name, value.clone());
        }
        head.effects.identity = Some(Arc::clone(&verified.identity));
        Next::Continue
    }
}

/// When a verified token ends. It is a number, or it would not be verified.
fn ends(claims: &Map<String, Value>) -> u64 {
    let ends = claims.get("exp");
    let whole = ends.and_then(Value::as_u64);
    let rounded = || ends.and_then(Value::as_f64).map(|ends| ends.round() as u64);
    whole.or_else(rounded).unwrap_or_default()
}

/// Why a token does not let its request in.
enum Refused {
    Missing,
    Expired,
    Invalid(&'static str),
    Claim,
    /// It may be good, by keys that are not here.
    NoKeys(Arc<Source>),
}

impl Refused {
    /// The answer, with what RFC 6750 section 3 says of it: a request without a token is told no error.
    fn tell(self, head: &mut RequestHead<'_>) -> Next {
        let (refusal, error, description) = match self {
            Refused::Missing => (Refusal::TokenMissing, None, ""),
            Refused::Expired => (
                Refusal::TokenExpired,
                Some("invalid_token"),
                "the token has expired",
            ),
            Refused::Invalid(why) => (Refusal::TokenInvalid, Some("invalid_token"), why),
            Refused::NoKeys(_) => (Refusal::TokenInvalid, Some("invalid_token"), MALFORMED),
            Refused::Claim => (
                Refusal::ClaimMissing,
                Some("insufficient_scope"),
                "the token lacks a claim that is asked for here",
            ),
        };
        let challenge = match error {
            None => "Bearer".to_owned(),
            Some(error) => format!("Bearer error=\"{error}\", error_description=\"{description}\""),
        };
        let challenge = HeaderValue::try_from(challenge).ok();
        let changes = challenge.map(|challenge| Change::Set(WWW_AUTHENTICATE, challenge));
        head.effects.response.extend(changes);
        Next::Refuse(refusal)
    }
}

impl Gate for Jwt {
    fn at_once(&self, head: &mut RequestHead<'_>) -> Option<Next> {
        match self.judge(head, true) {
            Judged::Next(next) => Some(next),
            Judged::Wait(_) | Judged::NoKeys => None,
        }
    }

    fn request<'a>(
        &'a self,
        head: &'a mut RequestHead<'_>,
        _ask: &'a dyn Ask,
    ) -> Waiting<'a, Result<Next, AskError>> {
        Box::pin(async move {
            if let Judged::Wait(source) = self.judge(head, true) {
                source.look_again(WAIT).await;
            }
            match self.judge(head, false) {
                Judged::Next(next) => Ok(next),
                Judged::Wait(_) | Judged::NoKeys => Err(AskError::NoKeys),
            }
        })
    }

    fn timeout(&self) -> Duration {
        WAIT + MARGIN
    }

    fn destinations(&self) -> Vec<&Destination> {
        let sources = self.issuers.iter().filter_map(Issuer::source);
        sources.filter_map(|source| source.destination()).collect()
    }
}
