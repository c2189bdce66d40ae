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
    /// Every predicate, in the order of the document.
    predicates: Vec<Named>,
    host: Option<HostPattern>,
    path: PathPattern,
    /// How many conditions there are beside host and path.
    conditions: usize,
    /// Whether one of them binds something. If none does, which is usual, binding is
    /// skipped.
    binds: bool,
    /// Its weights in groups of which one route is drawn.
    weights: Vec<(Arc<str>, u32)>,
    /// Where it stands in the index if it is in Spring's form.
    spring: Option<SpringPlace>,
}

/// A predicate with the name of its registry entry.
#[derive(Debug)]
struct Named {
    name: String,
    predicate: Box<dyn Predicate>,
    /// Whether it is a condition: the index does not answer it.
    is_condition: bool,
}

impl Matcher {
    /// Compiles the predicates of a route. Faults go to `report`.
    pub(crate) fn compile(spec: &RouteSpec, compat: Compat, report: &Report) -> Option<Matcher> {
        let matcher = Matcher {
            predicates: Vec::with_capacity(spec.predicates.len()),
            host: None,
            path: PathPattern::any(),
            conditions: 0,
            binds: false,
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
        let before = self.conditions;
        match predicate.place() {
            Place::Host(host) => self.host = Some(host.clone()),
            Place::Path(path) => self.path = path.clone(),
            Place::Conditions(count) => self.conditions += count,
            Place::SpringHosts(_) | Place::SpringPaths(_) => self.conditions += 1,
            Place::Weight(weight) => {
                self.weights
                    .push((Arc::clone(weight.group()), weight.weight()));
                self.conditions += 1;
            }
        }
        self.push(name, predicate, self.conditions > before);
    }

    /// Its weights in groups.
    pub(crate) fn weights(&self) -> &[(Arc<str>, u32)] {
        &self.weights
    }

    pub(crate) fn predicates(&self) -> impl Iterator<Item = (&str, &dyn Predicate)> {
        let predicates = self.predicates.iter();
        predicates.map(|named| (&*named.name, &*named.predicate))
    }

    /// A route in Spring's form. It is tried when the index finds it, except by a path
    /// for which the index alone decides.
    fn spring(mut self, spec: &RouteSpec, compat: Compat, report: &Report) -> Option<Matcher> {
        let mut place = SpringPlace::default();
        let mut is_complete = true;
        let mut of_paths = None;
        for part in &spec.predicates {
            let Some(predicate) = scg::compile(part, compat, report) else {
                is_complete = false;
                continue;
            };
            match predicate.place() {
                Place::SpringHosts(hosts) => place.add_hosts(hosts),
                Place::SpringPaths(paths) => {
                    place.add_paths(paths);
                    of_paths = Some(self.predicates.len());
                }
                Place::Weight(weight) => {
                    self.weights
                        .push((Arc::clone(weight.group()), weight.weight()));
                }
                Place::Conditions(_) | Place::Host(_) | Place::Path(_) => {}
            }
            self.push(&part.name, predicate, true);
        }
        if let Some(named) = of_paths.and_then(|at| self.predicates.get_mut(at)) {
            named.is_condition = !place.decides_paths();
        }
        self.spring = Some(place);
        is_complete.then_some(self)
    }

    fn push(&mut self, name: &str, predicate: Box<dyn Predicate>, is_condition: bool) {
        self.binds |= !predicate.names().is_empty();
        self.predicates.push(Named {
            name: name.to_owned(),
            predicate,
            is_condition,
        });
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
        let predicates = self.predicates.iter().zip(&spec.predicates);
        let conditions = predicates.filter(|(named, _)| named.is_condition);
        conditions.map(|(_, part)| part)
    }

    /// Whether it has conditions beside what the index answers.
    pub(crate) fn is_conditional(&self) -> bool {
        self.predicates.iter().any(|named| named.is_condition)
    }

    /// Whether a request that it takes binds something.
    pub(crate) fn binds(&self) -> bool {
        self.binds
    }

    /// Whether every predicate holds.
    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        self.predicates
            .iter()
            .all(|named| named.predicate.matches(request))
    }

    /// Whether every predicate holds that the index does not answer.
    pub(crate) fn conditions_hold(&self, request: &Request<'_>) -> bool {
        self.predicates
            .iter()
            .all(|named| !named.is_condition || named.predicate.matches(request))
    }

    /// The names that the predicates bind.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        let predicates = self.predicates.iter();
        let names = predicates.flat_map(|named| named.predicate.names());
        names.cloned().collect()
    }

    /// What the predicates capture of a request that fulfils them all.
    pub(crate) fn bindings(&self, request: &Request<'_>) -> Bindings {
        let mut bindings = Bindings::default();
        for named in &self.predicates {
            named.predicate.bind(request, &mut bindings);
        }
        bindings
    }

    /// The first predicate that does not hold.
    pub(crate) fn mismatch(&self, request: &Request<'_>) -> Option<(&str, &dyn Predicate)> {
        self.predicates
            .iter()
            .find(|named| !named.predicate.matches(request))
            .map(|named| (&*named.name, &*named.predicate))
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
