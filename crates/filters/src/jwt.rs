//! Lets requests pass that carry a token of an issuer that is trusted.

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

use jsonwebtoken::{Header, dangerous, decode_header, get_current_timestamp};
use pailou_config::Field;
use pailou_upstream::Destination;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::registry::{Entry, Scope};
use crate::sources::{Source, Wish};
use crate::token::{self, Carried, Known, MALFORMED, Refused, Rules, Verified};
use crate::{Ask, AskError, Gate, Next, RequestHead, Step, Waiting};
use issuer::{Issuer, Rejected};

pub(crate) use keys::KeySet;

pub(crate) const ENTRY: Entry = Entry::steps(
    "jwt",
    "{ issuer: 'https://login.example', audience: shop, keys: 'https://login.example/jwks.json', claims: { sub: x-user-id }, require: { scope: orders }, except: [/login, '/public/**'] }",
    "Lets requests pass that carry a valid token of the issuer, with its claims in headers that no client can send; any other is 401, or 403 where a claim is missing.",
    compile,
);

/// How long a request waits for keys that are on their way. It waits only where none are there yet, or the token names a key
/// that is not among them.
const WAIT: Duration = Duration::from_secs(1);

/// What a gate's deadline is beyond that.
const MARGIN: Duration = Duration::from_secs(1);

const LEEWAY: Duration = Duration::from_secs(30);
const LEEWAYS: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(600);

const UNKNOWN_KEY: Refused = Refused::Invalid("no key has the id of the token's");

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
    leeway: Duration,
    rules: Rules,
    known: Arc<Known>,
}

fn compile(field: &Field<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let issuers = match fields.optional("issuers") {
        Some(list) => several(&list, scope),
        None => Issuer::read(&mut fields, scope).map(|issuer| vec![issuer]),
    };
    let leeway = match fields.optional("leeway") {
        Some(leeway) => leeway.duration(LEEWAYS),
        None => Some(LEEWAY),
    };
    let rules = Rules::read(&mut fields);
    fields.finish();
    let issuers = issuers?;
    let sources = issuers.iter().map(|issuer| issuer.source().cloned());
    let known = Known::new(field.node().clone(), sources.collect(), None);
    Some(vec![Step::Gate(Box::new(Jwt {
        issuers,
        leeway: leeway?,
        rules: rules?,
        known: scope.shared.tokens(known),
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

/// What became of a request.
enum Judged {
    Next(Next),
    /// More is known once this source was looked at again.
    Wait(Arc<Source>),
    /// Nobody can say.
    NoKeys,
}

/// Why a token is not taken.
enum Rejection {
    Refused(Refused),
    /// It may be good, by keys that are not here.
    NoKeys(Arc<Source>),
}

/// Who issued a token, unverified: it only chooses the keys.
#[derive(Deserialize)]
struct Issued {
    iss: Option<String>,
}

impl Jwt {
    /// `may_wait`: whether it is worth waiting for keys.
    fn judge(&self, head: &mut RequestHead<'_>, may_wait: bool) -> Judged {
        let token = match self.rules.carried(head) {
            Carried::Token(token) => token,
            Carried::Next(next) => return Judged::Next(next),
        };
        let source = match self.verified(&token, head.effects.is_rehearsal) {
            Ok(verified) => {
                let granted = verified.granted.as_ref();
                let next = granted.map(|granted| self.rules.admit(head, granted));
                return Judged::Next(next.unwrap_or_else(|| UNKNOWN_KEY.tell(head)));
            }
            Err(Rejection::Refused(refused)) => return Judged::Next(refused.tell(head)),
            Err(Rejection::NoKeys(source)) => source,
        };
        match source.wish(Instant::now()) {
            Wish::Granted if may_wait => Judged::Wait(source),
            _ if source.keys().is_none() => Judged::NoKeys,
            Wish::Failing => Judged::NoKeys,
            Wish::Granted | Wish::TooSoon => Judged::Next(UNKNOWN_KEY.tell(head)),
        }
    }

    fn verified(&self, token: &[u8], is_rehearsal: bool) -> Result<Arc<Verified>, Rejection> {
        let (entry, now) = (token::Entry::of(token), get_current_timestamp());
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

    fn verify(&self, token: &[u8]) -> Result<Verified, Rejection> {
        let malformed = |_| Rejection::Refused(Refused::Invalid(MALFORMED));
        let header: Header = decode_header(token).map_err(malformed)?;
        let at = match self.issuers.as_slice() {
            [_] => 0,
            issuers => {
                let issued: Issued = dangerous::insecure_decode_claims(token).map_err(malformed)?;
                let at = issuers.iter().position(|issuer| issuer.name == issued.iss);
                let unknown = Refused::Invalid("the issuer is none that is trusted");
                at.ok_or(Rejection::Refused(unknown))?
            }
        };
        let issuer = &self.issuers[at];
        let (claims, keys) = issuer
            .verify(token, &header, self.leeway.as_secs())
            .map_err(|rejected| match (rejected, issuer.source()) {
                (Rejected::NoKeys | Rejected::UnknownKey, Some(source)) => {
                    Rejection::NoKeys(Arc::clone(source))
                }
                (Rejected::NoKeys | Rejected::UnknownKey, None) => Rejection::Refused(UNKNOWN_KEY),
                (Rejected::Expired, _) => Rejection::Refused(Refused::Expired),
                (Rejected::Invalid(why), _) => Rejection::Refused(Refused::Invalid(why)),
            })?;
        Ok(Verified {
            ends: ends(&claims).saturating_add(self.leeway.as_secs() + 1),
            issuer: at,
            keys,
            granted: Some(self.rules.grant(claims)),
        })
    }
}

/// When a verified token ends. It is a number, or it would not be verified.
fn ends(claims: &Map<String, Value>) -> u64 {
    let ends = claims.get("exp");
    let whole = ends.and_then(Value::as_u64);
    let rounded = || ends.and_then(Value::as_f64).map(|ends| ends.round() as u64);
    whole.or_else(rounded).unwrap_or_default()
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

    fn purpose(&self) -> String {
        "waits for its keys".to_owned()
    }

    fn timeout(&self) -> Duration {
        WAIT + MARGIN
    }

    fn destinations(&self) -> Vec<&Destination> {
        let sources = self.issuers.iter().filter_map(Issuer::source);
        sources.filter_map(|source| source.destination()).collect()
    }
}
