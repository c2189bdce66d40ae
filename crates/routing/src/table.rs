//! The route table: immutable, in one total order, with its index.

mod decision;
mod draw;

use std::{collections::HashSet, sync::Arc};

use hashbrown::HashMap;
use pailou_config::{Fault, Severity};
use pailou_filters::{Bindings, UnroutedCors};

use crate::{
    Request, Route,
    index::{Index, Keys, Span},
    scg::{SpringPlace, Takes},
};
pub use decision::{Decided, Refusal, Refused};
use draw::Groups;

/// The routes that are in force together.
///
/// They stand in one total order, and the first that matches takes the request:
///
/// 1. `order`, the lower first;
/// 2. the form of the document, native first;
/// 3. exact host, wildcard host (the longer suffix first), any host;
/// 4. exact path, prefix; the longer literal first;
/// 5. more conditions: each method list, header, parameter and cookie is one;
/// 6. the id.
///
/// Between native routes nothing depends on the position in a document. Routes
/// in the form of Spring Cloud Gateway have the first two keys, and then stand in
/// the order in which they are given: that of the documents, then that inside
/// each.
#[derive(Debug, Default)]
pub struct Table {
    revision: u64,
    md5: String,
    routes: Vec<Arc<Route>>,
    /// What a search needs of each route. A search reads only this, and not the routes
    /// themselves, which are spread over memory.
    traits: Vec<Traits>,
    by_id: HashMap<Arc<str>, usize>,
    index: Index,
    /// The groups of routes that are drawn by weight.
    groups: Groups,
    /// What CORS settings say of requests that no route takes.
    unrouted: Vec<Arc<UnroutedCors>>,
}

/// What a search needs of a route.
#[derive(Clone, Copy, Debug)]
struct Traits {
    /// Whether it has conditions beside what the index answers. Most have none.
    is_conditional: bool,
    /// Whether its predicates bind something.
    binds: bool,
}

/// The route that takes a request.
#[derive(Debug)]
pub struct Matched<'t> {
    /// The route.
    pub route: &'t Arc<Route>,
    /// What its predicates captured of the request.
    pub bindings: Bindings,
}

/// Why a route takes a request or does not.
#[derive(Debug)]
pub struct Verdict<'t> {
    /// The route.
    pub route: &'t Arc<Route>,
    /// The first predicate that does not hold, by name, and what it asks for;
    /// `None` when the route matches.
    pub mismatch: Option<(&'t str, String)>,
}

impl Table {
    /// Puts compiled routes in order and builds the index.
    ///
    /// `revision` counts the tables of this process, and `md5` is the digest of the
    /// documents; both are only kept. Disabled routes are left out. If several routes
    /// have one id, the first stays and the others are left out. The caller, who knows
    /// the documents, reports them.
    pub fn assemble(revision: u64, md5: impl Into<String>, routes: Vec<Arc<Route>>) -> Table {
        let mut ids = HashSet::with_capacity(routes.len());
        let mut routes: Vec<Arc<Route>> = routes
            .into_iter()
            .filter(|route| ids.insert(Arc::clone(&route.id)) && route.spec.enabled)
            .collect();
        routes.sort_by(|a, b| a.matcher().rank(&a.spec).cmp(&b.matcher().rank(&b.spec)));
        let index = Index::build(routes.iter().map(|route| route.matcher().keys()));
        let groups = Groups::of(&routes);
        let by_id = routes
            .iter()
            .enumerate()
            .map(|(rank, route)| (Arc::clone(&route.id), rank))
            .collect();
        let traits = routes.iter().map(|route| Traits {
            is_conditional: route.matcher().is_conditional(),
            binds: route.matcher().binds(),
        });
        let traits = traits.collect();
        Table {
            traits,
            revision,
            md5: md5.into(),
            routes,
            by_id,
            index,
            groups,
            unrouted: Vec::new(),
        }
    }

    /// The same with CORS settings for requests that no route takes, those of each
    /// document in the documents' order.
    pub fn with_unrouted(self, unrouted: Vec<Arc<UnroutedCors>>) -> Table {
        Table { unrouted, ..self }
    }

    /// A table without routes, as it is before the first publish.
    pub fn empty() -> Table {
        Table::default()
    }

    /// The number of this table among those of the process.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The digest of the documents that it was made of.
    pub fn md5(&self) -> &str {
        &self.md5
    }

    /// The routes in their total order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route of that id.
    pub fn route(&self, id: &str) -> Option<&Arc<Route>> {
        self.by_id.get(id).and_then(|rank| self.routes.get(*rank))
    }

    /// The route that takes the request, the first in the total order that
    /// matches; and what it binds.
    ///
    /// Cost: one hash look-up per label of the host and per segment of the path,
    /// whatever the number of routes, then the conditions of the routes that
    /// share this host and path. No lock; no allocation but for what is bound.
    pub fn find(&self, request: &Request<'_>) -> Option<Matched<'_>> {
        let span = Span::Request(request.host, request.target.path());
        let mut draws = self.groups.draws(&self.routes, request);
        let rank = self.index.first(span, self.routes.len(), |rank| {
            let holds = |route: &Arc<Route>| route.matcher().conditions_hold(request);
            !self.is_conditional(rank)
                || self.routes.get(rank).is_some_and(holds) && draws.falls_on(rank)
        })?;
        let route = self.routes.get(rank)?;
        let bindings = match self.traits.get(rank)?.binds {
            true => route.matcher().bindings(request),
            false => Bindings::default(),
        };
        Some(Matched { route, bindings })
    }

    fn is_conditional(&self, rank: usize) -> bool {
        let traits = self.traits.get(rank);
        traits.is_none_or(|traits| traits.is_conditional)
    }

    /// The same by a linear scan. Tests compare [`find`](Table::find) with it.
    pub fn scan(&self, request: &Request<'_>) -> Option<&Arc<Route>> {
        let mut draws = self.groups.draws(&self.routes, request);
        let mut routes = self.routes.iter().enumerate();
        let found = routes.find(|(rank, route)| route.matches(request) && draws.falls_on(*rank));
        found.map(|(_, route)| route)
    }

    /// For every route in order: whether it matches, or why not. The first that
    /// matches takes the request.
    pub fn explain<'t>(&'t self, request: &Request<'t>) -> impl Iterator<Item = Verdict<'t>> {
        let request = *request;
        self.routes.iter().enumerate().map(move |(rank, route)| {
            let mismatch = route
                .mismatch(&request)
                .map(|(name, predicate)| (name, predicate.to_string()))
                .or_else(|| {
                    let mut draws = self.groups.draws(&self.routes, &request);
                    let mismatch = || ("Weight", "another route of its group is drawn".to_owned());
                    (!draws.falls_on(rank)).then(mismatch)
                });
            Verdict { route, mismatch }
        })
    }

    /// The routes in Spring's form that are tried on every request, since the index
    /// cannot find them: their paths begin with a wildcard, and their hosts end with
    /// one. They add to the cost of every request.
    pub fn always_tried(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes
            .iter()
            .filter(|route| match route.matcher().keys() {
                Keys::Native(..) => false,
                Keys::Spring(place) => route.matcher().is_conditional() && place.is_everywhere(),
            })
    }

    /// Warnings about routes that no request can reach, because an earlier route takes
    /// all their requests: it covers their host and path, and has no condition that
    /// they do not have. A route in Spring's form is compared with routes that have
    /// only paths.
    pub fn shadowed(&self) -> Vec<Fault> {
        self.routes
            .iter()
            .enumerate()
            .filter_map(|(rank, route)| self.shadow(rank, route))
            .collect()
    }

    fn shadow(&self, rank: usize, route: &Route) -> Option<Fault> {
        let first = match route.matcher().keys() {
            Keys::Native(host, path) => self.index.first(Span::Route(host, path), rank, |before| {
                let before = self.routes.get(before);
                before.is_some_and(|before| asks_no_more(before, route))
            }),
            Keys::Spring(place) => self.spring_shadow(rank, place),
        }?;
        let before = self.routes.get(first)?;
        Some(Fault {
            document: Arc::clone(&route.spec.document),
            position: Some(route.spec.at),
            path: format!("routes[\"{}\"]", route.id),
            problem: format!(
                "no request reaches this route: `{}` ({}) takes them first",
                before.id, before.spec.document
            ),
            expected: None,
            nearest: None,
            severity: Severity::Warning,
        })
    }

    /// The first of the routes in Spring's form that take every request that this one
    /// would, since paths are all that they ask for.
    fn spring_shadow(&self, rank: usize, place: &SpringPlace) -> Option<usize> {
        let takes_all = |before: usize| !self.is_conditional(before);
        let first = |path: &str, is_exact| {
            let span = Span::Spring(path, is_exact);
            self.index.first(span, rank, takes_all)
        };
        let mut shadow = None;
        for (_, segments, takes) in place.places() {
            let path: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
            let is_exact = matches!(takes, Takes::Exact | Takes::ExactOrSlash);
            let covers = first(&path, is_exact)?;
            if takes == Takes::ExactOrSlash {
                first(&format!("{path}/"), true)?;
            }
            shadow = shadow.or(Some(covers));
        }
        shadow
    }
}

/// Whether every condition of `before`, host and path apart, is one of `route`.
fn asks_no_more(before: &Route, route: &Route) -> bool {
    let mut conditions = before.matcher().conditions(&before.spec);
    conditions.all(|asked| {
        route
            .matcher()
            .conditions(&route.spec)
            .any(|condition| condition == asked)
    })
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod spring_tests;
#[cfg(test)]
mod tests;
