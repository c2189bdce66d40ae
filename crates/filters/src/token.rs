//! What `jwt` and `introspect` have in common: where a token is looked for, what it must say, and what the endpoint is told of it.

mod cache;

use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderName, HeaderValue};
use pailou_config::{Fields, Node};
use pailou_upstream::Selection;
use serde_json::{Map, Value};

use crate::carrier::Carrier;
use crate::except::Except;
use crate::identity::{Identity, Required, Told};
use crate::sources::Source;
use crate::{Change, Next, Refusal, RequestHead, header};

pub(crate) use cache::{Entry, Tokens};

/// Longer tokens are refused unread.
const MAX_TOKEN_BYTES: usize = 16 << 10;

pub(crate) const MALFORMED: &str = "the token cannot be read";

/// The settings that say so.
#[derive(Debug)]
pub(crate) struct Rules {
    from: Vec<Carrier>,
    forwards_token: bool,
    is_optional: bool,
    except: Except,
    required: Required,
    told: Told,
}

/// What a request carries.
pub(crate) enum Carried {
    /// A token to judge.
    Token(Vec<u8>),
    /// Whatever it is, it needs no judgement.
    Next(Next),
}

/// What a token is good for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Granted {
    identity: Arc<Identity>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether a claim is missing, or has not the value that it must have.
    lacks_claim: bool,
}

/// Why a token does not let its request in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Missing,
    Expired,
    Invalid(&'static str),
    Claim,
}

impl Rules {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Rules> {
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
        let required = fields
            .optional("require")
            .map(|field| Required::read(&field));
        let told = fields.optional("claims").map(|field| Told::read(&field));
        Some(Rules {
            from: from?,
            forwards_token: forwards_token?,
            is_optional: is_optional?,
            except: except.unwrap_or_else(|| Some(Except::default()))?,
            required: required.unwrap_or_else(|| Some(Required::default()))?,
            told: told.unwrap_or_else(|| Some(Told::default()))?,
        })
    }

    /// Looks for the token. Headers that only this gateway may write are gone afterwards.
    pub(crate) fn carried(&self, head: &mut RequestHead<'_>) -> Carried {
        header::drop_in_any_spelling(head.headers, self.told.names());
        if self.except.takes(head.facts) {
            return Carried::Next(Next::Continue);
        }
        match self.token(head) {
            Ok(Some(token)) => Carried::Token(token),
            Ok(None) if self.is_optional => Carried::Next(Next::Continue),
            Ok(None) => Carried::Next(Refused::Missing.tell(head)),
            Err(refused) => Carried::Next(refused.tell(head)),
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

    /// What a token with these claims is good for.
    pub(crate) fn grant(&self, claims: Map<String, Value>) -> Granted {
        let identity = Identity::of_claims(claims);
        Granted {
            headers: self.told.headers(&identity),
            lacks_claim: self.required.missing(&identity).is_some(),
            identity: Arc::new(identity),
        }
    }

    /// Lets a request in with what its token is good for.
    pub(crate) fn admit(&self, head: &mut RequestHead<'_>, granted: &Granted) -> Next {
        if granted.lacks_claim {
            return Refused::Claim.tell(head);
        }
        if !self.forwards_token {
            self.from.iter().for_each(|carrier| carrier.remove(head));
        }
        for (name, value) in &granted.headers {
            head.headers.append(name, value.clone());
        }
        head.effects.identity = Some(Arc::clone(&granted.identity));
        Next::Continue
    }
}

impl Refused {
    /// The answer, with what RFC 6750 section 3 says of it: a request without a token is told no error.
    pub(crate) fn tell(self, head: &mut RequestHead<'_>) -> Next {
        let (refusal, error, description) = match self {
            Refused::Missing => (Refusal::TokenMissing, None, ""),
            Refused::Expired => (
                Refusal::TokenExpired,
                Some("invalid_token"),
                "the token has expired",
            ),
            Refused::Invalid(why) => (Refusal::TokenInvalid, Some("invalid_token"), why),
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

/// What filters with the same settings know of tokens, whatever their routes.
pub(crate) struct Known {
    settings: Node,
    /// Where keys come from.
    sources: Vec<Option<Arc<Source>>>,
    /// Who is asked.
    asked: Option<Arc<Selection>>,
    pub(crate) tokens: Tokens,
}

impl Known {
    pub(crate) fn new(
        settings: Node,
        sources: Vec<Option<Arc<Source>>>,
        asked: Option<Arc<Selection>>,
    ) -> Known {
        Known {
            settings,
            sources,
            asked,
            tokens: Tokens::default(),
        }
    }

    /// Whether filters with these settings judge tokens in the same way.
    pub(crate) fn is_same(&self, other: &Known) -> bool {
        let is_same = |one: &Option<Arc<Source>>, other: &Option<Arc<Source>>| {
            one.as_ref().map(Arc::as_ptr) == other.as_ref().map(Arc::as_ptr)
        };
        let sources = self.sources.iter().zip(&other.sources);
        self.settings == other.settings
            && self.asked.as_ref().map(Arc::as_ptr) == other.asked.as_ref().map(Arc::as_ptr)
            && self.sources.len() == other.sources.len()
            && { sources }.all(|(one, other)| is_same(one, other))
    }
}

/// Neither the settings, which may hold a secret, nor what tokens say.
impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut known = f.debug_struct("Known");
        known
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

/// A token that was judged.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    /// The first second in which it is not valid any more, since 1970.
    pub(crate) ends: u64,
    /// Whose it is, by its place.
    pub(crate) issuer: usize,
    /// The keys that took it.
    pub(crate) keys: u64,
    /// What it is good for; nothing if it is not active.
    pub(crate) granted: Option<Granted>,
}
