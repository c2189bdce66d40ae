//! Where a route in Spring's form stands in the index.
//!
//! The index finds routes that may take a request, and each of these is tried. So the index may find too many routes, but never too few.

use super::{HostKey, SpringHost, SpringPath, Takes};
use crate::predicate::MAX_SEGMENTS;

/// A route with more places than this gets one place for any host.
const MAX_PLACES: usize = 64;

/// A route's places.
#[derive(Debug, Default)]
pub(crate) struct SpringPlace {
    /// The hosts that it can take; `None` is any.
    hosts: Option<Vec<HostKey>>,
    /// The beginnings of the paths that it can take; `None` is any.
    paths: Option<Vec<Beginning>>,
    /// How many predicates ask for paths.
    path_predicates: usize,
}

/// The literal beginning of paths, decoded, and which of them are taken.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    pub(crate) segments: Box<[Box<str>]>,
    pub(crate) takes: Takes,
}

impl SpringPlace {
    /// Adds hosts, one of which has to match.
    pub(crate) fn add_hosts(&mut self, patterns: &[SpringHost]) {
        // Each of two predicates must hold, so the places of either are enough.
        if self.hosts.is_none() {
            let keys = patterns.iter().map(|pattern| pattern.key().clone());
            self.hosts = Some(keys.collect());
        }
    }

    /// Adds paths, one of which has to match.
    pub(crate) fn add_paths(&mut self, patterns: &[SpringPath]) {
        self.path_predicates += 1;
        let beginnings: Vec<Beginning> = patterns.iter().filter_map(beginning).collect();
        let least = |paths: &[Beginning]| paths.iter().map(|path| path.segments.len()).min();
        let is_better = match &self.paths {
            None => true,
            Some(paths) => least(&beginnings) > least(paths),
        };
        if is_better {
            self.paths = Some(beginnings);
        }
    }

    /// Whether the index alone decides, so that a route that it finds need not be tried.
    pub(crate) fn decides_paths(&self) -> bool {
        let is_whole = |paths: &Vec<Beginning>| paths.iter().all(|path| path.takes != Takes::Some);
        self.path_predicates == 1 && self.paths.as_ref().is_some_and(is_whole)
    }

    /// Whether the route is tried on every request, since nothing of it is literal where the index looks.
    pub(crate) fn is_everywhere(&self) -> bool {
        let is_any_host = |keys: &Vec<HostKey>| keys.contains(&HostKey::Any);
        let is_any_path =
            |paths: &Vec<Beginning>| paths.iter().any(|path| path.segments.is_empty());
        self.hosts.as_ref().is_none_or(is_any_host) && self.paths.as_ref().is_none_or(is_any_path)
    }

    /// Every place: a host and the beginning of a path.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&HostKey, &[Box<str>], Takes)> {
        let paths = match &self.paths {
            Some(paths) => paths
                .iter()
                .map(|path| (&*path.segments, path.takes))
                .collect(),
            None => vec![(&[][..], Takes::All)],
        };
        let mut hosts = self.hosts.as_deref().unwrap_or(&[HostKey::Any]);
        if hosts.len() * paths.len() > MAX_PLACES {
            hosts = &[HostKey::Any];
        }
        hosts.iter().flat_map(move |host| {
            paths
                .clone()
                .into_iter()
                .map(move |(segments, takes)| (host, segments, takes))
        })
    }
}

/// The beginning of a pattern's paths; `None` if it matches none.
fn beginning(pattern: &SpringPath) -> Option<Beginning> {
    let prefix = pattern.prefix()?;
    let is_short = prefix.segments.len() < MAX_SEGMENTS;
    let segments = prefix.segments.into_iter().take(MAX_SEGMENTS - 1);
    Some(Beginning {
        segments: segments.map(Into::into).collect(),
        takes: if is_short { prefix.takes } else { Takes::Some },
    })
}
