//! What names a service.

use std::fmt;
use std::sync::Arc;

use pailou_config::UpstreamUrl;
use pailou_telemetry::ServiceLabels;

/// What names a service: the Nacos that lists it, and its namespace, group and name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId {
    /// The id of the Nacos that lists it, as in `gateway.yaml`, or [`ServiceId::STATIC`].
    pub nacos: Arc<str>,
    /// The namespace's id; empty is the public one.
    pub namespace: Arc<str>,
    /// The group.
    pub group: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl ServiceId {
    /// The id of the Nacos that is meant when none is named.
    pub const DEFAULT_NACOS: &'static str = pailou_config::DEFAULT_NACOS;

    /// What stands for the id where a route gives the endpoints by URL. The name is then the URL.
    pub const STATIC: &'static str = pailou_config::STATIC_NACOS;

    /// The endpoints at a URL.
    pub fn of_url(url: &UpstreamUrl) -> ServiceId {
        ServiceId {
            nacos: ServiceId::STATIC.into(),
            namespace: "".into(),
            group: "".into(),
            name: url.to_string().into(),
        }
    }

    /// The URL, if a route gives it.
    pub fn url(&self) -> Option<UpstreamUrl> {
        let is_static = *self.nacos == *ServiceId::STATIC;
        is_static.then(|| UpstreamUrl::parse(&self.name).ok())?
    }

    /// What its series are labelled with.
    pub fn labels(&self) -> ServiceLabels {
        let is_static = *self.nacos == *ServiceId::STATIC;
        let namespace = match &self.namespace {
            // As people read the namespace with the empty id.
            namespace if namespace.is_empty() => "public".into(),
            namespace => Arc::clone(namespace),
        };
        ServiceLabels {
            nacos: if is_static {
                "".into()
            } else {
                Arc::clone(&self.nacos)
            },
            namespace: if is_static { "".into() } else { namespace },
            group: Arc::clone(&self.group),
            service: Arc::clone(&self.name),
        }
    }

    /// A service of the default Nacos.
    pub fn new(
        namespace: impl Into<Arc<str>>,
        group: impl Into<Arc<str>>,
        name: impl Into<Arc<str>>,
    ) -> ServiceId {
        ServiceId {
            nacos: ServiceId::DEFAULT_NACOS.into(),
            namespace: namespace.into(),
            group: group.into(),
            name: name.into(),
        }
    }
}

/// The URL if a route gives one; else `group@@name`, with `namespace/` before it unless it is the public one, and `nacos:` before
/// that unless it is the default one.
/// Log lines and views name it so; series have its parts, [`ServiceId::labels`].
impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self.nacos == *ServiceId::STATIC {
            return f.write_str(&self.name);
        }
        if *self.nacos != *ServiceId::DEFAULT_NACOS {
            write!(f, "{}:", self.nacos)?;
        }
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        write!(f, "{}@@{}", self.group, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_parts_of_a_name_are_left_out() {
        let mut id = ServiceId::new("", "DEFAULT_GROUP", "user-service");
        assert_eq!(id.to_string(), "DEFAULT_GROUP@@user-service");
        id.namespace = "dev".into();
        assert_eq!(id.to_string(), "dev/DEFAULT_GROUP@@user-service");
        id.nacos = "eu".into();
        assert_eq!(id.to_string(), "eu:dev/DEFAULT_GROUP@@user-service");
        assert_eq!(id.url(), None);
    }

    #[test]
    fn a_series_has_the_parts_and_a_line_has_one_word_for_them() {
        let url = UpstreamUrl::parse("http://Api.internal").expect("a URL");
        let mut east = ServiceId::new("dev", "shop", "users");
        east.nacos = "east".into();
        for (id, expected) in [
            (
                ServiceId::new("", "DEFAULT_GROUP", "users"),
                ["default", "public", "DEFAULT_GROUP", "users"],
            ),
            (east, ["east", "dev", "shop", "users"]),
            (
                ServiceId::of_url(&url),
                ["", "", "", "http://api.internal:80"],
            ),
        ] {
            let labels = id.labels();
            let parts = [
                &labels.nacos,
                &labels.namespace,
                &labels.group,
                &labels.service,
            ];
            assert_eq!(parts.map(|part| &**part), expected);
            assert_eq!(labels.to_string(), id.to_string());
        }
    }

    #[test]
    fn a_url_is_its_own_name() {
        let url = UpstreamUrl::parse("http://Api.internal").expect("a URL");
        let id = ServiceId::of_url(&url);
        assert_eq!(id.to_string(), "http://api.internal:80");
        assert_eq!(id.url(), Some(url));
    }
}
