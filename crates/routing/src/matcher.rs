//! A route's predicates, compiled, and its place in the order.

use std::{cmp::Reverse, sync::Arc};

use pailou_config::{Compat, Form, PartSpec, Report, RouteSpec};
use pailou_filters::Bindings;

use crate::{
    Request,
    index::Keys,
    predicate::{self, HostPattern, PathPattern, Place, Predicate},
    scg::{self, SpringPlace},
};

/// The compiled predicates of a route, all of which must hold.
#[derive(Debug)]
pub(crate) struct Matcher {
    /// Every predicate with the name of its registry entry, in the order of the
    /// document.
    predicates: Vec<(String, Box<dyn Predicate>)>,
    /// Which of them the index does not answer; the positions are those of the
    /// spec.
    residual: Vec<usize>,
    host: Option<HostPattern>,
    path: PathPattern,
    /// How many conditions there are beside host and path.
    conditions: usize,
    /// Its weights in groups of which one route is drawn.
    weights: Vec<(Arc<str>, u32)>,
    /// Where it stands in the index if it is in Spring's form.
    spring: Option<SpringPlace>,
}

impl Matcher {
    /// Compiles the predicates of a route; what is wrong with them goes to
    /// `report`.
    pub(crate) fn compile(spec: &RouteSpec, compat: Compat, report: &Report) -> Option<Matcher> {
        let matcher = Matcher {
            predicates: Vec::with_capacity(spec.predicates.len()),
            residual: Vec::new(),
            host: None,
            path: PathPattern::any(),
            conditions: 0,
            weights: Vec::new(),
            spring: None,
        };
        match spec.form {
            Form::Native => matcher.native(spec, compat, report),
            Form::Scg => matcher.spring(spec, compat, report),
        }
    }

    /// A native route. It may have Spring's predicates too, by their own names,
    /// which begin with a capital.
    fn native(mut self, spec: &RouteSpec, compat: Compat, report: &Report) -> Option<Matcher> {
        let mut is_complete = true;
        for part in &spec.predicates {
            let is_spring = part
                .name
                .starts_with(|first: char| first.is_ascii_uppercase());
            let predicate = match is_spring {
                true => scg::compile(part, compat, report),
                false => predicate::compile(part, report),
            };
            match predicate {
                Some(predicate) => self.add(&part.name, predicate),
                None => is_complete = false,
            }
        }
        is_complete.then_some(self)
    }

    fn add(&mut self, name: &str, predicate: Box<dyn Predicate>) {
        match predicate.place() {
            Place::Host(host) => self.host = Some(host.clone()),
            Place::Path(path) => self.path = path.clone(),
            Place::Conditions(count) => {
                self.conditions += count;
                self.residual.push(self.predicates.len());
            }
            Place::SpringHosts(_) | Place::SpringPaths(_) => self.add_condition(),
            Place::Weight(weight) => {
                self.weights
                    .push((Arc::clone(weight.group()), weight.weight()));
                self.add_condition();
            }
        }
        self.predicates.push((name.to_owned(), predicate));
    }

    fn add_condition(&mut self) {
        self.conditions += 1;
        self.residual.push(self.predicates.len());
    }

    /// Its weights in groups.
    pub(crate) fn weights(&self) -> &[(Arc<str>, u32)] {
        &self.weights
    }

    pub(crate) fn predicates(&self) -> impl Iterator<Item = (&str, &dyn Predicate)> {
        let predicates = self.predicates.iter();
        predicates.map(|(name, predicate)| (&**name, &**predicate))
    }

    /// A route in Spring's form. What the index finds of it is tried whole,
    /// unless paths are all that it asks for.
    fn spring(mut self, spec: &RouteSpec, compat: Compat, report: &Report) -> Option<Matcher> {
        let mut place = SpringPlace::default();
        let mut is_complete = true;
        for part in &spec.predicates {
            let Some(predicate) = scg::compile(part, compat, report) else {
                is_complete = false;
                continue;
            };
            match predicate.place() {
                Place::SpringHosts(hosts) => place.add_hosts(hosts),
                Place::SpringPaths(paths) => place.add_paths(paths),
                Place::Weight(weight) => {
                    self.weights
                        .push((Arc::clone(weight.group()), weight.weight()));
                    place.add_condition();
                }
                Place::Conditions(_) | Place::Host(_) | Place::Path(_) => place.add_condition(),
            }
            self.predicates.push((part.name.clone(), predicate));
        }
        if !place.is_certain() {
            self.residual = (0..self.predicates.len()).collect();
        }
        self.spring = Some(place);
        is_complete.then_some(self)
    }

    /// Where it stands in the index.
    pub(crate) fn keys(&self) -> Keys<'_> {
        match &self.spring {
            Some(place) => Keys::Spring(place),
            None => Keys::Native(self.host.as_ref(), &self.path),
        }
    }

    /// The conditions beside host and path, as `spec`, the route's own, has
    /// them.
    pub(crate) fn conditions<'s>(
        &'s self,
        spec: &'s RouteSpec,
    ) -> impl Iterator<Item = &'s PartSpec> {
        self.residual
            .iter()
            .filter_map(|at| spec.predicates.get(*at))
    }

    /// Whether it has conditions beside host and path.
    pub(crate) fn is_conditional(&self) -> bool {
        !self.residual.is_empty()
    }

    /// Whether every predicate holds.
    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        self.predicates
            .iter()
            .all(|(_, predicate)| predicate.matches(request))
    }

    /// Whether every predicate holds that the index does not answer.
    pub(crate) fn conditions_hold(&self, request: &Request<'_>) -> bool {
        self.residual
            .iter()
            .filter_map(|at| self.predicates.get(*at))
            .all(|(_, predicate)| predicate.matches(request))
    }

    /// The names that the predicates bind.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        let predicates = self.predicates.iter();
        let names = predicates.flat_map(|(_, predicate)| predicate.names());
        names.cloned().collect()
    }

    /// What the predicates capture of a request that fulfils them all.
    pub(crate) fn bindings(&self, request: &Request<'_>) -> Bindings {
        let mut bindings = Bindings::default();
        for (_, predicate) in &self.predicates {
            predicate.bind(request, &mut bindings);
        }
        bindings
    }

    /// The first predicate that does not hold.
    pub(crate) fn mismatch(&self, request: &Request<'_>) -> Option<(&str, &dyn Predicate)> {
        self.predicates
            .iter()
            .find(|(_, predicate)| !predicate.matches(request))
            .map(|(name, predicate)| (&**name, &**predicate))
    }

    /// The place in the one total order; less comes first. See
    /// [`Table`](crate::Table).
    pub(crate) fn rank<'r>(&'r self, spec: &'r RouteSpec) -> impl Ord + 'r {
        let form = match spec.form {
            Form::Native => 0,
            Form::Scg => 1,
        };
        let (host, suffix) = match &self.host {
            Some(HostPattern::Exact(_)) => (0, 0),
            Some(HostPattern::Wildcard(suffix)) => (1, suffix.len()),
            None => (2, 0),
        };
        let path = (self.path.is_prefix(), Reverse(self.path.literal().len()));
        let native = (form == 0).then(|| {
            let host = (host, Reverse(suffix));
            (host, path, Reverse(self.conditions), &*spec.id)
        });
        (spec.order, form, native)
    }
}
