//! Values with variables: `/v/{id}`.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use pailou_config::ScgArg;

use crate::{Bindings, Scope};

/// A text with `{name}` in it, which stands for what a predicate of the route has
/// bound.
///
/// Spring (`UriComponents.expand`) takes what is between a brace and the next
/// closing one for a name, if there is no slash in it; what follows a `:` says
/// nothing. Any other brace is text. So `${id}` is a dollar sign and the value.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Variable(Arc<str>),
}

/// A request whose match did not bind a name: of several patterns of the route
/// another one matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unbound;

impl Template {
    /// Reads an argument. A name that no predicate of the route binds is a fault.
    pub(super) fn read(arg: &ScgArg<'_>, scope: &Scope<'_>) -> Option<Template> {
        Template::read_text(arg.text(), arg, scope)
    }

    /// Reads a text that is a part of `arg`.
    pub(super) fn read_text(text: &str, arg: &ScgArg<'_>, scope: &Scope<'_>) -> Option<Template> {
        let template = Template::parse(text);
        let Some(bound) = scope.names else {
            return Some(template);
        };
        let unknown = template
            .names()
            .find(|name| !bound.iter().any(|known| **known == ***name));
        let Some(unknown) = unknown else {
            return Some(template);
        };
        let names: Vec<_> = bound.iter().map(|name| format!("`{{{name}}}`")).collect();
        arg.fault_expected(
            format!(
                "no predicate of the route binds `{{{}}}`",
                unknown.escape_debug()
            ),
            match names.is_empty() {
                true => {
                    "a value without braces: the route's predicates bind no variables".to_owned()
                }
                false => format!("one of {}, or a value without braces", names.join(", ")),
            },
        );
        None
    }

    fn parse(text: &str) -> Template {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, after) = rest.split_at(open);
            literal.push_str(before);
            let Some((name, after)) = variable(after) else {
                literal.push('{');
                rest = after.get(1..).unwrap_or_default();
                continue;
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Variable(name.into()));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Template(pieces)
    }

    fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name),
            Piece::Text(_) => None,
        })
    }

    /// A template of these pieces.
    pub(super) fn of(pieces: Vec<Piece>) -> Template {
        Template(pieces)
    }

    /// The texts between the variables, as `change` makes them anew.
    pub(super) fn map_texts(mut self, change: impl Fn(&str) -> String) -> Template {
        for piece in &mut self.0 {
            if let Piece::Text(text) = piece {
                *text = change(text);
            }
        }
        self
    }

    /// The pieces, first to last.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The text, if it has no variable.
    pub(super) fn constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with values in the place of variables. Each value is written by
    /// `write`, which may encode it.
    pub(super) fn expand(
        &self,
        bindings: &Bindings,
        write: impl Fn(&str, &mut String),
    ) -> Result<Cow<'_, str>, Unbound> {
        if let Some(text) = self.constant() {
            return Ok(Cow::Borrowed(text));
        }
        let mut expanded = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => expanded.push_str(text),
                Piece::Variable(name) => {
                    write(bindings.get(name).ok_or(Unbound)?, &mut expanded);
                }
            }
        }
        Ok(Cow::Owned(expanded))
    }
}

/// The name of the variable that the text begins with, and what follows it.
///
/// Spring's expression is `\{([^/]+?)\}`, once what follows a `:` inside braces
/// was removed together with the braces in it (`{id:\d{2}}` is `{id}`).
fn variable(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{')?;
    let end = inner.find(['}', ':', '/'])?;
    match inner.as_bytes().get(end)? {
        b'}' if end > 0 => Some((&inner[..end], &inner[end + 1..])),
        b':' if end > 0 => {
            let mut depth = 0usize;
            for (at, byte) in inner.bytes().enumerate().skip(end) {
                match byte {
                    b'{' => depth += 1,
                    b'}' if depth == 0 => return Some((&inner[..end], &inner[at + 1..])),
                    b'}' => depth -= 1,
                    _ => {}
                }
            }
            None
        }
        _ => None,
    }
}

impl fmt::Debug for Template {
    /// Without the texts: one may be a credential for the endpoint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, Unbound> {
        let mut bindings = Bindings::default();
        bindings.bind(&"v".into(), "q");
        bindings.bind(&"a".into(), "1");
        bindings.bind(&"b".into(), "2");
        let template = Template::parse(text);
        let write = |value: &str, to: &mut String| to.push_str(value);
        template.expand(&bindings, write).map(Cow::into_owned)
    }

    #[test]
    fn variables_are_found_as_spring_finds_them() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("{a}-{b}-{a}", "1-2-1"),
            ("/v/{v}/", "/v/q/"),
            ("{v:def}", "q"),
            ("{v:[0-9]{2}}x", "qx"),
            ("${v}", "$q"),
            ("{}", "{}"),
            ("/{x", "/{x"),
            ("{a/b}", "{a/b}"),
            ("{/v}", "{/v}"),
            ("}{v}", "}q"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["{c}", "{\"json\":1}", "{ v }"] {
            assert_eq!(expanded(text), Err(Unbound), "{text}");
        }
    }

    #[test]
    fn a_text_does_not_print() {
        let template = Template::parse("Basic c2VjcmV0 {v}");
        assert_eq!(format!("{template:?}"), r#"["v"]"#);
    }
}
