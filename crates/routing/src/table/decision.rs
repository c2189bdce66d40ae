//! What a table makes of a request. The same decision serves requests and explains them.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderValue, Method, header};
use pailou_config::{EncodedSlashes, Form};
use pailou_filters::{Answer, Change, Effects, Facts, RequestHead};

use super::{Matched, Table};
use crate::{Request, Route, Target};

/// The route that takes a request, and the request as the route wants it.
#[derive(Debug)]
pub struct Decided<'t> {
    /// The route, and what it binds.
    pub matched: Matched<'t>,
    /// The path with its encoded slashes decoded, if the route wants it so.
    pub decoded: Option<String>,
}

/// A request that no route takes, or that its route refuses.
#[derive(Debug)]
pub struct Refused<'t> {
    /// Why.
    pub why: Refusal,
    /// The route that refuses it, if one does.
    pub route: Option<&'t Arc<Route>>,
}

/// Why a request is refused before any filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No route takes it: 404.
    NoRoute,
    /// Its path has an encoded slash, which its route refuses: 400.
    EncodedSlash,
    /// Its target has a character that must be encoded, and its route is in the form of Spring Cloud Gateway, which refuses
    /// such a target before it looks for a route: 400.
    NotUri,
}

impl Refusal {
    /// In words.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::NoRoute => "no route takes this request",
            Refusal::EncodedSlash => "the path has an encoded slash",
            Refusal::NotUri => "the target has a character that must be encoded",
        }
    }
}

impl Table {
    /// The route that a request is served by, or why it is refused. `request.draw` decides among routes with weights,
    /// however often the table is searched.
    ///
    /// Cost: that of [`find`](Table::find), and for a preflight of CORS or a decoded slash once more.
    ///
    /// # Errors
    /// When the request goes nowhere.
    pub fn decide<'t>(&'t self, request: &Request<'_>) -> Result<Decided<'t>, Refused<'t>> {
        let has_slash = request.target.has_encoded_slash();
        let Some(matched) = self.search(request) else {
            let why = match has_slash {
                true => Refusal::EncodedSlash,
                false => Refusal::NoRoute,
            };
            return Err(Refused { why, route: None });
        };
        if matched.route.spec.form == Form::Scg && !request.target.is_uri() {
            let why = Refusal::NotUri;
            return Err(Refused { why, route: None });
        }
        match matched.route.encoded_slashes {
            EncodedSlashes::Decode if has_slash => self.decode(request, matched.route),
            EncodedSlashes::Reject if has_slash => Err(slash_refused(matched.route)),
            EncodedSlashes::Keep | EncodedSlashes::Reject | EncodedSlashes::Decode => {
                let decoded = None;
                Ok(Decided { matched, decoded })
            }
        }
    }

    /// What CORS settings say of a request that no route takes: an answer in the place of the 404, if they give one, and what
    /// they want of the one that is sent. The first settings that say something count. `host` is the Host header.
    pub fn unrouted(
        &self,
        request: &Request<'_>,
        host: &HeaderValue,
    ) -> (Option<Box<Answer>>, Vec<Change>) {
        if self.unrouted.is_empty() {
            return (None, Vec::new());
        }
        let facts = Facts {
            method: request.method.clone(),
            scheme: request.scheme,
            host: host.clone(),
            path: request.target.path().to_owned().into(),
            client: request.client,
            ..Facts::default()
        };
        let mut headers = request.headers.clone();
        let mut head = RequestHead {
            facts: &facts,
            method: request.method,
            path: Cow::Borrowed(request.target.forwarded_path()),
            query: None,
            headers: &mut headers,
            effects: Effects::default(),
        };
        for cors in &self.unrouted {
            let answer = cors.answer(&mut head);
            if answer.is_some() || !head.effects.response.is_empty() {
                return (answer, head.effects.response);
            }
        }
        (None, Vec::new())
    }

    /// Matches the path with its slashes decoded. Another route's rule may be another one, so it must be the same route.
    fn decode<'t>(
        &'t self,
        request: &Request<'_>,
        route: &'t Arc<Route>,
    ) -> Result<Decided<'t>, Refused<'t>> {
        let decoded = request.target.with_slashes();
        let refused = || slash_refused(route);
        let target = Target::parse(decoded.as_bytes()).map_err(|_| refused())?;
        let decoded = Request {
            target: &target,
            ..*request
        };
        let matched = self.search(&decoded).ok_or_else(refused)?;
        if !Arc::ptr_eq(matched.route, route) {
            return Err(refused());
        }
        Ok(Decided {
            matched,
            decoded: Some(target.forwarded_path().to_owned()),
        })
    }

    /// The route that takes the request, or answers it as a preflight.
    fn search(&self, request: &Request<'_>) -> Option<Matched<'_>> {
        self.for_preflight(request).or_else(|| self.find(request))
    }

    /// The route whose filter answers a preflight of CORS (Fetch, section 3.2.2): it takes the preflight itself, or the
    /// request that the preflight asks about.
    fn for_preflight(&self, request: &Request<'_>) -> Option<Matched<'_>> {
        if *request.method != Method::OPTIONS || !request.headers.contains_key(header::ORIGIN) {
            return None;
        }
        let asked = request.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let method = Method::from_bytes(asked.as_bytes()).ok()?;
        let answers = |found: &Matched<'_>| found.route.answers_preflights;
        self.find(request).filter(answers).or_else(|| {
            let asked = Request {
                method: &method,
                ..*request
            };
            self.find(&asked).filter(answers)
        })
    }
}

fn slash_refused(route: &Arc<Route>) -> Refused<'_> {
    Refused {
        why: Refusal::EncodedSlash,
        route: Some(route),
    }
}

#[cfg(test)]
mod tests;
