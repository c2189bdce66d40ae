//! Where things are, and where else to look for them.

use std::collections::BTreeSet;
use std::fmt;

use pailou_config::{RouteSource, Settings};
use pailou_nacos::{DEFAULT_GROUP, wire::PUBLIC};

/// A config or a service: its namespace, group and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Empty for the public one.
    pub(super) namespace: String,
    pub(super) group: String,
    pub(super) name: String,
}

impl Place {
    pub(super) fn new(namespace: &str, group: &str, name: &str) -> Place {
        let namespace = if namespace == PUBLIC { "" } else { namespace };
        Place {
            namespace: namespace.to_owned(),
            group: group.to_owned(),
            name: name.to_owned(),
        }
    }

    /// In what another place differs from this one, as a person says it.
    pub(super) fn difference(&self, other: &Place) -> String {
        let mut parts = Vec::new();
        if other.name != self.name {
            parts.push(format!("as `{}`", other.name));
        }
        if other.group != self.group {
            parts.push(format!("in group {}", other.group));
        }
        if other.namespace != self.namespace {
            parts.push(format!("in {}", namespace(&other.namespace)));
        }
        parts.join(" ")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        write!(f, "{}/{}", self.group, self.name)
    }
}

/// A namespace as a person says it.
pub(super) fn namespace(id: &str) -> String {
    match id {
        "" => "the public namespace".to_owned(),
        id => format!("namespace {id}"),
    }
}

/// Where people may have put a thing by mistake.
pub(super) struct Places {
    pub(super) namespaces: BTreeSet<String>,
    pub(super) groups: BTreeSet<String>,
    /// Namespaces that nobody named, and that the server has.
    pub(super) elsewhere: BTreeSet<String>,
}

impl Places {
    /// Those that the settings name, and the defaults.
    pub(super) fn of(settings: &Settings) -> Places {
        let nacos = &settings.nacos;
        let mut places = Places {
            namespaces: BTreeSet::from([String::new()]),
            groups: BTreeSet::from([DEFAULT_GROUP.to_owned()]),
            elsewhere: BTreeSet::new(),
        };
        places.add(&Place::new(&nacos.namespace, &nacos.group, ""));
        places.groups.insert(settings.registration.group.clone());
        for source in &settings.routes {
            if let RouteSource::Config {
                group, namespace, ..
            } = source
            {
                places.add(&Place::new(namespace, group, ""));
            }
        }
        places
    }

    pub(super) fn add(&mut self, place: &Place) {
        self.namespaces.insert(place.namespace.clone());
        self.groups.insert(place.group.clone());
    }

    /// The namespaces to search, beginning with the right one.
    pub(super) fn searched<'a>(&'a self, first: &'a str) -> Vec<&'a str> {
        let others = self.namespaces.union(&self.elsewhere);
        let others = others.map(String::as_str).filter(|id| *id != first);
        std::iter::once(first).chain(others).collect()
    }

    /// Every other place for one of these names; the likely ones first, and not too many of them.
    pub(super) fn around(&self, place: &Place, names: &[String]) -> Vec<Place> {
        const MAX: usize = 40;
        let mut all: Vec<Place> = self
            .searched(&place.namespace)
            .into_iter()
            .flat_map(|namespace| self.groups.iter().map(move |group| (namespace, group)))
            .flat_map(|(namespace, group)| {
                names
                    .iter()
                    .map(move |name| Place::new(namespace, group, name))
            })
            .filter(|other| other != place)
            .collect();
        all.sort_by_key(|other| {
            [
                other.namespace != place.namespace,
                other.group != place.group,
                other.name != place.name,
            ]
            .into_iter()
            .filter(|differs| *differs)
            .count()
        });
        all.truncate(MAX);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likely_places_come_first() {
        let places = Places {
            namespaces: ["", "dev"].map(str::to_owned).into(),
            groups: ["DEFAULT_GROUP", "shop"].map(str::to_owned).into(),
            elsewhere: BTreeSet::new(),
        };
        let place = Place::new("public", "shop", "a.yaml");
        let around = places.around(&place, &["a.yaml".to_owned(), "a".to_owned()]);
        assert_eq!(around.len(), 7);
        let differences: Vec<_> = around.iter().map(|other| place.difference(other)).collect();
        assert_eq!(
            differences[..3],
            ["in group DEFAULT_GROUP", "as `a`", "in namespace dev"]
        );
        assert_eq!(
            differences[6],
            "as `a` in group DEFAULT_GROUP in namespace dev"
        );
    }
}
