//! `Header`: a value of this header matches.
//!
//! Values are split at commas and lose their quotes, as `HttpHeaders.getValuesAsList` does; behind the first comma they lose all
//! white space too. An empty value is none.

use std::fmt;

use http::HeaderName;
use pailou_config::{Compat, Field, ScgArgs, Shortcut};

use super::{Entry, decode, value, value::Wanted};
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "Header",
    shortcut: "Header=X-Request-Id, \\d+",
    summary: "The header has a value, one that matches the expression as a whole if there is one.",
    compile,
};

/// What is gone before a route is looked for.
const OF_ONE_HOP: &[&str] = &[
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];

#[derive(Debug)]
struct Header(Wanted<HeaderName>);

impl Predicate for Header {
    fn matches(&self, request: &Request<'_>) -> bool {
        let Wanted { name, regexp } = &self.0;
        request.headers.get_all(name).iter().any(|line| {
            let line = decode::latin1(line.as_bytes());
            any_value(&line, |value| {
                regexp.as_ref().is_none_or(|regexp| regexp.is_match(value))
            })
        })
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    let args = ScgArgs::read(field, Shortcut::Fields(&["header", "regexp"]))?;
    let regexp = value::regexp(args.get("regexp"));
    let name = args.required("header").and_then(|arg| {
        let name = HeaderName::from_bytes(arg.text().as_bytes()).ok();
        match &name {
            None => arg.fault_expected(
                format!("{} is not a header name", arg.quoted()),
                "letters, digits and `-`",
            ),
            Some(name) if OF_ONE_HOP.contains(&name.as_str()) => arg.fault(format!(
                "{} is of one hop, and is gone before a route is looked for",
                arg.quoted()
            )),
            Some(_) => {}
        }
        name
    });
    args.finish();
    let (name, regexp) = (name?, regexp.ok()?);
    Some(Box::new(Header(Wanted { name, regexp })))
}

/// Whether one of the values of a line is `wanted`.
fn any_value(line: &str, mut wanted: impl FnMut(&str) -> bool) -> bool {
    if !line.contains([',', '"']) {
        let value = line.trim();
        return !value.is_empty() && wanted(value);
    }
    let mut value = String::new();
    let mut is_quoted = false;
    let mut keeps_space = true;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if value.is_empty() => is_quoted = true,
            '"' if is_quoted => {
                is_quoted = false;
                keeps_space = false;
            }
            '\\' if is_quoted && characters.peek().is_some() => value.extend(characters.next()),
            ',' if !is_quoted => {
                if is_wanted(&value, keeps_space, &mut wanted) {
                    return true;
                }
                value.clear();
                keeps_space = false;
            }
            character
                if is_quoted
                    || (!value.is_empty() && keeps_space)
                    || !character.is_whitespace() =>
            {
                value.push(character);
            }
            _ => {}
        }
    }
    is_wanted(&value, keeps_space, &mut wanted)
}

fn is_wanted(value: &str, is_trimmed: bool, wanted: &mut impl FnMut(&str) -> bool) -> bool {
    let value = if is_trimmed { value.trim() } else { value };
    !value.is_empty() && wanted(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `HttpHeaders.getValuesAsList` of Spring 6.2.15 gives them.
    #[test]
    fn a_line_is_split_as_spring_splits_it() {
        let cases: &[(&str, &[&str])] = &[
            ("a, b c", &["a", "bc"]),
            ("a b", &["a b"]),
            ("a b, c d , e f", &["a b", "cd", "ef"]),
            (r#""x, y""#, &["x, y"]),
            (r#""12""#, &["12"]),
            (r#"a"b"#, &[r#"a"b"#]),
            (r#""a b" , "c d""#, &["a b", "c d"]),
            (r#""a\"b""#, &[r#"a"b"#]),
            (r#""a"#, &["a"]),
            ("a,,b", &["a", "b"]),
            (" , ", &[]),
            (r#""""#, &[]),
            (r#""",a"#, &[",a"]),
            (r#"a;q="x,y", b"#, &[r#"a;q="x"#, r#"y""#, "b"]),
            (
                "Tue, 15 Nov 2026 08:12:31 GMT",
                &["Tue", "15Nov202608:12:31GMT"],
            ),
            ("  a  ", &["a"]),
            (r"a\b", &[r"a\b"]),
            (r#""a"b"#, &["ab"]),
            (r#""a" b"#, &["ab"]),
            (r#"a, "b c" d"#, &["a", "b cd"]),
            (r#"x "a,b""#, &[r#"x "a"#, r#"b""#]),
            ("a,\tb\tc", &["a", "bc"]),
            (r#"" a ""#, &[" a "]),
            (r#""a\"#, &[r"a\"]),
        ];
        for (line, expected) in cases {
            let mut values = Vec::new();
            any_value(line, |value| {
                values.push(value.to_owned());
                false
            });
            assert_eq!(values, *expected, "{line}");
        }
    }
}
