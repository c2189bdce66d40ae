//! What names a service.

use std::fmt;
use std::sync::Arc;

/// What names a service in the labels of its series.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceLabels {
    /// The id of the Nacos that lists it; empty where none does, as of a URL.
    pub nacos: Arc<str>,
    /// The namespace's id, `public` for the one whose id is empty.
    pub namespace: Arc<str>,
    /// The group.
    pub group: Arc<str>,
    /// The name, or the URL.
    pub service: Arc<str>,
}

impl ServiceLabels {
    /// Label and value, in the order in which they are written.
    pub(crate) fn pairs(&self) -> [(&'static str, &str); 4] {
        [
            ("nacos", &self.nacos),
            ("namespace", &self.namespace),
            ("group", &self.group),
            ("service", &self.service),
        ]
    }
}

/// In one word, as log lines name a service: the parts that are the usual ones are left out.
impl fmt::Display for ServiceLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !matches!(&*self.nacos, "" | "default") {
            write!(f, "{}:", self.nacos)?;
        }
        if !matches!(&*self.namespace, "" | "public") {
            write!(f, "{}/", self.namespace)?;
        }
        if !self.group.is_empty() {
            write!(f, "{}@@", self.group)?;
        }
        f.write_str(&self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_one_word_the_usual_parts_are_left_out() {
        for (parts, expected) in [
            (
                ["default", "public", "DEFAULT_GROUP", "users"],
                "DEFAULT_GROUP@@users",
            ),
            (["default", "dev", "shop", "users"], "dev/shop@@users"),
            (["east", "dev", "shop", "users"], "east:dev/shop@@users"),
            (["", "", "", "http://a.internal:80"], "http://a.internal:80"),
            (["", "", "", ""], ""),
        ] {
            let [nacos, namespace, group, service] = parts.map(Arc::from);
            let labels = ServiceLabels {
                nacos,
                namespace,
                group,
                service,
            };
            assert_eq!(labels.to_string(), expected);
        }
    }
}
