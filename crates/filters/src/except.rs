//! Requests that an authentication filter lets pass: the white list.

use http::Method;
use pailou_config::Field;

use crate::Facts;
use crate::scg::path_glob::PathGlob;

/// Patterns of paths, each perhaps with a method in front: `/api/users/login`, `/public/**`, `OPTIONS /**`.
///
/// They look at the path as it was matched, before any filter has changed it. A path with matrix parameters (`;`) is never
/// excepted: services read such paths in more than one way.
#[derive(Debug, Default)]
pub(crate) struct Except(Vec<(Option<Method>, PathGlob)>);

impl Except {
    pub(crate) fn read(field: &Field<'_>) -> Option<Except> {
        let read = |item: &Field<'_>| {
            let text = item.string()?;
            let (method, path) = match text.split_once(' ') {
                Some((method, path)) => (Some(method), path.trim_start()),
                None => (None, &*text),
            };
            let method = method.map(|method| {
                let is_name = method.bytes().all(|byte| byte.is_ascii_uppercase());
                Method::from_bytes(method.as_bytes())
                    .ok()
                    .filter(|_| is_name)
            });
            let pattern = PathGlob::parse(path);
            let (Some(pattern), None | Some(Some(_))) = (pattern, &method) else {
                item.fault_expected(
                    item.quoted(),
                    "a path with `*`, `?`, `{name}` or `**`, with a method in front if it is for one: `GET /public/**`",
                );
                return None;
            };
            Some((method.flatten(), pattern))
        };
        field.each(read).map(Except)
    }

    /// Whether the request needs no authentication.
    pub(crate) fn takes(&self, facts: &Facts) -> bool {
        let path = facts.path();
        !self.0.is_empty()
            && !path.contains(';')
            && self.0.iter().any(|(method, pattern)| {
                method.as_ref().is_none_or(|method| *method == facts.method)
                    && pattern.matches(path)
            })
    }
}

#[cfg(test)]
mod tests {
    use pailou_config::{Node, Report};

    use super::*;

    fn except(yaml: &str) -> Result<Except, String> {
        let report = Report::new("test");
        let node = Node::parse_yaml(yaml, &report).expect("YAML");
        let except = Except::read(&Field::new(&node, "except", &report));
        except.ok_or_else(|| report.into_faults().remove(0).to_string())
    }

    #[test]
    fn paths_of_the_white_list_need_nothing() {
        let except =
            except("[ /login, '/public/**', 'OPTIONS /**', '/*/api-docs' ]").expect("legal");
        for (method, path, is_excepted) in [
            ("POST", "/login", true),
            ("GET", "/login/x", false),
            ("GET", "/loginx", false),
            ("GET", "/public", true),
            ("GET", "/public/a/b", true),
            ("GET", "/public;v=1/a", false),
            ("GET", "/login;x", false),
            ("GET", "/users/api-docs", true),
            ("GET", "/a/b/api-docs", false),
            ("OPTIONS", "/private", true),
            ("GET", "/private", false),
        ] {
            let facts = Facts {
                method: method.parse().expect("a method"),
                path: path.into(),
                ..Facts::default()
            };
            assert_eq!(except.takes(&facts), is_excepted, "{method} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for yaml in ["login", "'get /a'", "['']", "'GET '", "'/a/**b'"] {
            let error = except(yaml).expect_err(yaml);
            assert!(error.contains("a path with"), "{yaml}: {error}");
        }
    }
}
