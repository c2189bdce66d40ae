//! `${NAME:default}`, where `gateway.yaml` allows the name.

use crate::{
    fault::Position,
    node::{Node, Value},
    settings::Placeholder,
};

/// Defaults may have placeholders in them, this deep.
const MAX_DEPTH: usize = 8;

/// Fills in placeholders, as Spring's `PlaceholderParser` does with those that it can resolve.
#[derive(Debug)]
pub(super) struct Placeholders<'a> {
    allowed: &'a [Placeholder],
    /// Whether `\${` becomes `${`, as in what Spring loads itself.
    unescapes: bool,
    /// Those with a default that are not allowed, with the place of the first.
    left: Vec<(String, Position)>,
}

impl<'a> Placeholders<'a> {
    pub(super) fn new(allowed: &'a [Placeholder], unescapes: bool) -> Placeholders<'a> {
        Placeholders {
            allowed,
            unescapes,
            left: Vec::new(),
        }
    }

    /// Fills in those of every scalar in the tree.
    pub(super) fn fill(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Null => {}
            Value::Scalar(scalar) => {
                if scalar.text.contains("${")
                    && let Some(text) = self.text(&scalar.text, node.at)
                {
                    scalar.text = text;
                }
            }
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Value::Mapping(entries) => entries.iter_mut().for_each(|(_, node)| self.fill(node)),
        }
    }

    /// The names with defaults that stayed as they were, each with the place of the first.
    pub(super) fn left(self) -> Vec<(String, Position)> {
        self.left
    }

    /// The filled text, if anything changes.
    fn text(&mut self, text: &str, at: Position) -> Option<String> {
        let ends = ends(text);
        let mut out = String::with_capacity(text.len());
        self.fill_range(Text { text, ends: &ends }, 0, text.len(), 0, at, &mut out);
        (out != text).then_some(out)
    }

    fn fill_range(
        &mut self,
        written: Text<'_>,
        from: usize,
        to: usize,
        depth: usize,
        at: Position,
        out: &mut String,
    ) {
        let text = written.text;
        let mut done = from;
        let mut next = from;
        while let Some(start) = text[next..to].find("${").map(|found| next + found) {
            let end = written.ends[start + 1].filter(|end| *end < to);
            let Some(end) = end else {
                next = start + 2;
                continue;
            };
            if text[..start].ends_with('\\') {
                let keep = if self.unescapes { start - 1 } else { start };
                out.push_str(text.get(done..keep).unwrap_or_default());
                (done, next) = (start, start + 2);
                continue;
            }
            out.push_str(&text[done..start]);
            let inner = &text[start + 2..end];
            let (name, default) = match inner.split_once(':') {
                Some((name, _)) => (name, Some(start + 2 + name.len() + 1)),
                None => (inner, None),
            };
            let allowed = self.allowed.iter().find(|allowed| allowed.name == name);
            match (allowed.map(|allowed| allowed.value.as_deref()), default) {
                (Some(Some(value)), _) => out.push_str(value),
                (Some(None), Some(default)) if depth < MAX_DEPTH => {
                    self.fill_range(written, default, end, depth + 1, at, out);
                }
                (None, Some(_)) => {
                    self.note(name, at);
                    out.push_str(&text[start..=end]);
                }
                _ => out.push_str(&text[start..=end]),
            }
            (done, next) = (end + 1, end + 1);
        }
        out.push_str(text.get(done..to).unwrap_or_default());
    }

    fn note(&mut self, name: &str, at: Position) {
        const MAX_NOTED: usize = 20;
        // A name of this kind is Spring's; others, as in a path's `{id:\d+}`, are no placeholders at all.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let is_new = self.left.iter().all(|(known, _)| known != name);
        if !name.is_empty() && name.bytes().all(is_name) && is_new && self.left.len() < MAX_NOTED {
            self.left.push((name.to_owned(), at));
        }
    }
}

#[derive(Clone, Copy)]
struct Text<'a> {
    text: &'a str,
    /// For each byte that is a `{`: where the `}` stands that closes it.
    ends: &'a [Option<usize>],
}

fn ends(text: &str) -> Vec<Option<usize>> {
    let mut ends = vec![None; text.len()];
    let mut open = Vec::new();
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open.push(place),
            b'}' => {
                if let Some(start) = open.pop() {
                    ends[start] = Some(place);
                }
            }
            _ => {}
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Vec<Placeholder> {
        let placeholder = |(name, value): (&str, Option<&str>)| Placeholder {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        let all = [
            ("SET", Some("x")),
            ("UNSET", None),
            ("server.port", Some("80")),
        ];
        all.into_iter().map(placeholder).collect()
    }

    fn filled(text: &str, unescapes: bool) -> (String, Vec<String>) {
        let allowed = allowed();
        let mut placeholders = Placeholders::new(&allowed, unescapes);
        let at = Position { line: 1, column: 1 };
        let mut node = Node::scalar(text, at);
        placeholders.fill(&mut node);
        let Value::Scalar(scalar) = node.value else {
            panic!("it stays a scalar")
        };
        let left = placeholders.left().into_iter().map(|(name, _)| name);
        (scalar.text, left.collect())
    }

    #[test]
    fn only_allowed_names_are_filled_in() {
        for (text, expected) in [
            ("a${SET}b", "axb"),
            ("${SET:no}", "x"),
            ("${UNSET:dflt}", "dflt"),
            ("${UNSET:}", ""),
            ("${UNSET}", "${UNSET}"),
            ("${UNSET:${UNSET:inner}}", "inner"),
            ("${UNSET:/a/${SET}}/**", "/a/x/**"),
            ("${UNSET:{a}}", "{a}"),
            ("a${server.port}b${SET}", "a80bx"),
            ("/${seg}", "/${seg}"),
            ("/$\\{seg}", "/$\\{seg}"),
            ("${unclosed", "${unclosed"),
            ("${unclosed${SET}", "${unclosedx"),
            ("${HOME}", "${HOME}"),
            ("{SET}", "{SET}"),
            ("${}", "${}"),
        ] {
            assert_eq!(
                filled(text, true),
                (expected.to_owned(), Vec::new()),
                "{text}"
            );
        }
        let (text, left) = filled("${OTHER:/p}/${OTHER:x}", true);
        assert_eq!(text, "${OTHER:/p}/${OTHER:x}");
        assert_eq!(left, ["OTHER"]);
    }

    #[test]
    fn an_escaped_placeholder_is_one_for_the_filter() {
        for (text, loaded, given) in [
            ("\\${seg}", "${seg}", "\\${seg}"),
            ("/a\\${SET}/${SET}", "/a${SET}/x", "/a\\${SET}/x"),
            ("\\${open", "\\${open", "\\${open"),
        ] {
            assert_eq!(filled(text, true).0, loaded, "{text}");
            assert_eq!(filled(text, false).0, given, "{text}");
        }
    }

    #[test]
    fn hostile_nesting_costs_little() {
        for text in [
            "${".repeat(200_000),
            "${UNSET:".repeat(50_000) + &"}".repeat(50_000),
            "${A:".repeat(50_000) + &"}".repeat(50_000),
        ] {
            let (out, _) = filled(&text, true);
            assert!(out.len() <= text.len());
        }
    }
}
