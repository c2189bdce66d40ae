//! `path`: the path of the request, exact or by prefix.

use std::fmt;

use pailou_config::Field;

use super::{Entry, Place, Predicate};
use crate::{Request, path};

pub(crate) const ENTRY: Entry = Entry {
    name: "path",
    arguments: "/api/users/**",
    summary: "The path is this one, or with `/**` at the end, this one or below.",
    compile,
};

/// Longer paths are no routes that anyone wrote; the bound keeps the walk
/// through the index on the stack.
pub(crate) const MAX_SEGMENTS: usize = 64;

/// A path to match: exact, or a prefix of whole segments.
///
/// `/api/users` matches itself only; `/api/users/` is another path.
/// `/api/users/**` matches `/api/users`, `/api/users/` and whatever is below,
/// never `/api/usersx`. `/**` matches every path. Case matters.
///
/// A pattern is normalised as targets are ([`Target`](crate::Target)), so that
/// `/订单/**` and `/%e8%ae%a2%e5%8d%95/**` are the same. `*` elsewhere, `?` and
/// `{name}` are refused: they would need a second rule beside "the longer
/// prefix wins".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// In normal form. A prefix has no slash at its end and may be empty.
    literal: Box<str>,
    is_prefix: bool,
}

/// Why a pattern is refused: the problem and what was expected.
type Refusal = (String, &'static str);

impl PathPattern {
    /// The pattern that matches every path: `/**`.
    pub fn any() -> PathPattern {
        PathPattern {
            literal: "".into(),
            is_prefix: true,
        }
    }

    /// Whether it matches a normalised path without parameters.
    pub fn matches(&self, path: &str) -> bool {
        match path.strip_prefix(&*self.literal) {
            Some("") => true,
            Some(rest) => self.is_prefix && rest.starts_with('/'),
            None => false,
        }
    }

    /// Whether it is a prefix.
    pub fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// The path without `/**`: empty for `/**` itself.
    pub fn literal(&self) -> &str {
        &self.literal
    }

    fn parse(text: &str) -> Result<PathPattern, Refusal> {
        const FORMS: &str = "a path such as `/api/users`, or a prefix such as `/api/users/**`";
        let never = |reason: &str| (format!("this never matches: {reason}"), FORMS);
        let (literal, is_prefix) = match text.strip_suffix("/**") {
            Some(literal) => (literal, true),
            None => (text, false),
        };
        if !text.starts_with('/') {
            return Err(("a path begins with `/`".to_owned(), FORMS));
        }
        if literal.contains('*') {
            return Err((
                "`*` has a meaning only as `/**` at the end".to_owned(),
                FORMS,
            ));
        }
        if literal.contains(['{', '}']) {
            return Err(("a path has no `{name}` parts".to_owned(), FORMS));
        }
        if literal.contains('?') {
            return Err(never("a query is no part of the path, see `match.query`"));
        }
        if literal.contains(';') {
            return Err(never("parameters (`;…`) are cut before paths are matched"));
        }
        let normal = match literal {
            "" => "/".into(),
            _ => path::normalise(literal).map_err(|error| never(&error.to_string()))?,
        };
        if normal.contains("%2F") {
            return Err(never("an encoded slash"));
        }
        let literal = if is_prefix {
            normal.strip_suffix('/').unwrap_or(&normal)
        } else {
            &normal
        };
        if literal.matches('/').count() > MAX_SEGMENTS {
            return Err((format!("more than {MAX_SEGMENTS} segments"), FORMS));
        }
        Ok(PathPattern {
            literal: literal.into(),
            is_prefix,
        })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.literal)?;
        if self.is_prefix {
            f.write_str("/**")
        } else {
            Ok(())
        }
    }
}

impl Predicate for PathPattern {
    fn matches(&self, request: &Request<'_>) -> bool {
        self.matches(request.target.path())
    }

    fn place(&self) -> Place<'_> {
        Place::Path(self)
    }
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Predicate>> {
    let text = field.string()?;
    match PathPattern::parse(&text) {
        Ok(pattern) => {
            let shown = pattern.to_string();
            // What is not ASCII has to be encoded; that is no news to anyone.
            if shown != text && text.is_ascii() {
                field.warn(format!("is matched as `{shown}`, its normal form"));
            }
            Some(Box::new(pattern))
        }
        Err((problem, expected)) => {
            field.fault_expected(problem, expected);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predicate::tests::{compiled, holds};

    #[test]
    fn paths_match_by_whole_segments() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "/api/users",
                &["/api/users", "/api//users", "/api/%75sers;v=1"],
                &[
                    "/api/users/",
                    "/api/usersx",
                    "/api",
                    "/",
                    "/API/users",
                    "/api/users/7",
                ],
            ),
            (
                "/api/users/",
                &["/api/users/", "/api/users/."],
                &["/api/users", "/api/users/7"],
            ),
            ("/", &["/", "//", "/a/.."], &["/a"]),
            (
                "/api/users/**",
                &[
                    "/api/users",
                    "/api/users/",
                    "/api/users/7",
                    "/api/users/7/",
                    "/api/users;v=1/7",
                ],
                &[
                    "/api/usersx",
                    "/api/user",
                    "/api",
                    "/",
                    "/Api/users/7",
                    "/x/api/users",
                ],
            ),
            ("/**", &["/", "/a", "/a/b/"], &[]),
            (
                "/订单/**",
                &["/订单", "/%e8%ae%a2%e5%8d%95/7", "/%E8%AE%A2%E5%8D%95/"],
                &["/订", "/%E8%AE%A2"],
            ),
        ];
        for (pattern, matching, others) in cases {
            let predicate = compiled("path", &format!("'{pattern}'")).expect(pattern);
            for path in *matching {
                assert!(
                    holds(&*predicate, &format!("GET {path}"), &[]),
                    "{pattern} does not match {path}"
                );
            }
            for path in *others {
                assert!(
                    !holds(&*predicate, &format!("GET {path}"), &[]),
                    "{pattern} matches {path}"
                );
            }
        }
    }

    #[test]
    fn a_pattern_that_could_never_match_is_refused_with_the_reason() {
        for (pattern, problem) in [
            ("api", "begins with `/`"),
            ("'**'", "begins with `/`"),
            ("''", "begins with `/`"),
            ("/a/*", "`*` has a meaning only as `/**`"),
            ("/a*", "`*` has"),
            ("/a/**/b", "`*` has"),
            ("/a**", "`*` has"),
            ("/*/**", "`*` has"),
            ("/***", "`*` has"),
            ("/a/{id}", "no `{name}` parts"),
            ("/a?b=c", "no part of the path"),
            ("/a;v=1", "cut before"),
            ("/a%2fb", "encoded slash"),
            ("/a%zz", "percent sign"),
            ("/../a", "above the root"),
            ("'/a#b'", "fragment"),
            ("'/a b'", "space"),
            (r"'/a\b'", "backslash"),
            ("/%c0%ae", "not UTF-8"),
            ("/a%00", "control"),
            ("[/a]", "expected"),
        ] {
            let error = compiled("path", pattern).expect_err(pattern);
            assert!(error.contains(problem), "{pattern}: {error}");
        }
        compiled("path", &"/a".repeat(MAX_SEGMENTS + 1)).expect_err("too deep");
        compiled("path", &"/a".repeat(MAX_SEGMENTS)).expect("deep enough");
    }

    #[test]
    fn a_pattern_is_brought_into_normal_form() {
        for (pattern, normal) in [
            ("/a//b", "/a/b"),
            ("/a/../b/**", "/b/**"),
            ("/%61/%e4%bd%a0", "/a/%E4%BD%A0"),
            ("/a//**", "/a/**"),
            ("/a/./**", "/a/**"),
            ("/**", "/**"),
            ("//**", "/**"),
            ("/a/", "/a/"),
        ] {
            assert_eq!(
                compiled("path", pattern).expect(pattern).to_string(),
                normal
            );
        }
    }
}
