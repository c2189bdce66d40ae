//! Spring's host patterns: `**.example.com`, `{tenant}.example.com:*`.
//!
//! The behaviour is that of `AntPathMatcher(".")`, label by label, with one difference: case does not matter.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use pailou_filters::JavaRegex;

/// A host pattern, parsed.
#[derive(Debug)]
pub struct SpringHost {
    text: Box<str>,
    labels: Box<[Label]>,
    /// What it has in front of its port, for the index.
    key: HostKey,
    /// The two shapes that most patterns have, which need no labels.
    plain: Option<Plain>,
}

#[derive(Debug)]
enum Plain {
    /// Literal labels.
    Exact(Box<str>),
    /// `**.` and literal labels.
    Below(Box<str>),
}

/// One label of a pattern.
#[derive(Debug)]
enum Label {
    /// `**`
    Any,
    /// `*`
    One,
    /// In lower case.
    Literal(Box<str>),
    /// An expression; for each variable the number of its group.
    Regex(JavaRegex, Box<[(Arc<str>, usize)]>),
}

/// Which hosts a pattern can match, the port apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostKey {
    /// This one.
    Exact(Box<str>),
    /// This one and those below, or some of them.
    Below(Box<str>),
    /// Any.
    Any,
}

impl SpringHost {
    /// Parses a pattern.
    ///
    /// # Errors
    /// The reason why it can match nothing, or why an expression in it is refused.
    pub(crate) fn parse(text: &str) -> Result<SpringHost, String> {
        if text.starts_with('.') || text.ends_with('.') {
            return Err("no host begins or ends with a dot".to_owned());
        }
        let labels = text.split('.').filter(|label| !label.is_empty());
        let labels = labels.map(label).collect::<Result<Vec<_>, _>>()?;
        Ok(SpringHost {
            text: text.into(),
            key: key(text, &labels),
            plain: plain(&labels),
            labels: labels.into(),
        })
    }

    /// Which hosts it can match.
    pub(crate) fn key(&self) -> &HostKey {
        &self.key
    }

    /// The names of its variables.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.labels.iter().flat_map(|label| match label {
            Label::Regex(_, variables) => variables.iter().map(|(name, _)| name).collect(),
            _ => Vec::new(),
        })
    }

    /// The constraints with groups that capture, on which Spring fails at the first request.
    pub(crate) fn capturing_constraints(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().filter_map(|label| match label {
            Label::Regex(regex, variables) if regex.groups() > variables.len() => {
                Some(regex.text())
            }
            _ => None,
        })
    }

    /// Whether it matches a host in lower case, with its port if that counts.
    pub(crate) fn matches(&self, host: &str) -> bool {
        match &self.plain {
            Some(Plain::Exact(name)) => **name == *host,
            Some(Plain::Below(suffix)) => host
                .strip_suffix(&**suffix)
                .is_some_and(|front| front.is_empty() || front.ends_with('.')),
            None => self.walk(host, &mut |_, _| {}),
        }
    }

    /// Calls back with each variable and its value, if it matches.
    pub(crate) fn capture<'p>(&'p self, host: &str, mut captured: impl FnMut(&'p Arc<str>, &str)) {
        if self.matches(host) {
            self.walk(host, &mut captured);
        }
    }

    /// The labels in front of the first `**` are matched from the left, those behind the last one from the right, and what stands
    /// between two of them where it is found first.
    fn walk<'p>(&'p self, host: &str, captured: &mut dyn FnMut(&'p Arc<str>, &str)) -> bool {
        let hosts: Vec<&str> = host.split('.').collect();
        let (mut labels, mut rest) = (&*self.labels, &hosts[..]);
        loop {
            match (labels, rest) {
                ([Label::Any, ..], _) => break,
                ([label, below @ ..], [text, after @ ..]) if label.takes(text, captured) => {
                    (labels, rest) = (below, after);
                }
                (labels, rest) => return labels.is_empty() && rest.is_empty(),
            }
        }
        while let [above @ .., label] = labels {
            if matches!(label, Label::Any) {
                break;
            }
            match rest {
                [before @ .., text] if label.takes(text, captured) => {
                    (labels, rest) = (above, before);
                }
                _ => return false,
            }
        }
        between(labels, rest, captured)
    }
}

/// The rest of a pattern that begins and ends with `**`.
fn between<'p>(
    mut labels: &'p [Label],
    mut rest: &[&str],
    captured: &mut dyn FnMut(&'p Arc<str>, &str),
) -> bool {
    while let [Label::Any, after @ ..] = labels {
        let length = after
            .iter()
            .position(|label| matches!(label, Label::Any))
            .unwrap_or(0);
        let wanted = &after[..length];
        let mut starts = 0..(rest.len() + 1).saturating_sub(length);
        let found = starts.find(|start| {
            let texts = &rest[*start..start + length];
            wanted
                .iter()
                .zip(texts)
                .all(|(label, text)| label.takes(text, captured))
        });
        let Some(start) = found else {
            return false;
        };
        rest = &rest[start + length..];
        labels = &after[length..];
        if labels.len() == 1 {
            return true;
        }
    }
    true
}

impl Label {
    fn takes<'p>(&'p self, text: &str, captured: &mut dyn FnMut(&'p Arc<str>, &str)) -> bool {
        match self {
            Label::Any => false,
            Label::One => true,
            Label::Literal(literal) => **literal == *text,
            Label::Regex(regex, variables) if variables.is_empty() => regex.is_match(text),
            Label::Regex(regex, variables) => {
                let Some(groups) = regex.captures(text) else {
                    return false;
                };
                for (name, group) in variables {
                    let value = groups.get(group - 1).copied().flatten();
                    captured(name, value.unwrap_or_default());
                }
                true
            }
        }
    }
}

/// One label: a literal, or an expression of `?`, `*`, `{name}` and `{name:constraint}`.
fn label(text: &str) -> Result<Label, String> {
    match text {
        "**" => return Ok(Label::Any),
        "*" => return Ok(Label::One),
        _ => {}
    }
    if !text.contains(['*', '?', '{', '}']) {
        return Ok(Label::Literal(text.to_ascii_lowercase().into()));
    }
    let mut expression = String::from("(?is)");
    let mut variables: Vec<(Arc<str>, usize)> = Vec::new();
    let mut group = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '{' => {
                let (inside, after) = variable(rest)?;
                rest = after;
                let (name, constraint) = inside.split_once(':').unwrap_or((inside, ".*"));
                if variables.iter().any(|(known, _)| **known == *name) {
                    return Err(format!("two variables are called `{name}`"));
                }
                variables.push((name.into(), group));
                let alone = regex(constraint)?;
                if alone.groups() > 0 && alone.is_backtracking() {
                    return Err(format!(
                        "a constraint with groups that capture, `{constraint}`, cannot be honoured beside other parts of its label"
                    ));
                }
                group += 1 + alone.groups();
                expression.push_str(&format!("({constraint})"));
            }
            '}' => return Err("`}` closes no variable".to_owned()),
            character if character.is_alphanumeric() => expression.push(character),
            character => expression.push_str(&format!("\\x{{{:X}}}", u32::from(character))),
        }
    }
    Ok(Label::Regex(regex(&expression)?, variables.into()))
}

/// What is in a variable, and what follows its `}`.
fn variable(text: &str) -> Result<(&str, &str), String> {
    let mut depth = 0;
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => {
                is_escaped = false;
                continue;
            }
            '\\' => is_escaped = true,
            '{' => depth += 1,
            '}' if depth == 0 => return Ok((&text[..at], &text[at + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    Err("a variable is not closed within its label; Spring cuts a pattern at every `.`, in expressions too".to_owned())
}

fn regex(text: &str) -> Result<JavaRegex, String> {
    JavaRegex::whole(text).map_err(|error| error.to_string())
}

fn plain(labels: &[Label]) -> Option<Plain> {
    let join = |labels: &[Label]| {
        let literal = |label: &Label| match label {
            Label::Literal(literal) => Some(literal.to_string()),
            _ => None,
        };
        let literals = labels.iter().map(literal).collect::<Option<Vec<_>>>()?;
        (!literals.is_empty()).then(|| literals.join(".").into())
    };
    match labels {
        [Label::Any, below @ ..] => join(below).map(Plain::Below),
        labels => join(labels).map(Plain::Exact),
    }
}

/// The literal labels at the end, without the port.
fn key(text: &str, labels: &[Label]) -> HostKey {
    let Some((last, above)) = labels.split_last() else {
        return HostKey::Any;
    };
    // The port is part of the last label, whose name may be literal though its port is not.
    let written = text.rsplit('.').next().unwrap_or_default();
    let name = without_port(written);
    let is_literal = match last {
        Label::Literal(_) => true,
        Label::Regex(..) => name.len() < written.len() && !name.contains(['*', '?', '{', '}']),
        Label::Any | Label::One => false,
    };
    if !is_literal {
        return HostKey::Any;
    }
    let mut literals = vec![Cow::Owned(name.to_ascii_lowercase())];
    for label in above.iter().rev() {
        match label {
            Label::Literal(literal) => literals.push(Cow::Borrowed(&**literal)),
            _ => {
                literals.reverse();
                return HostKey::Below(literals.join(".").into());
            }
        }
    }
    literals.reverse();
    HostKey::Exact(literals.join(".").into())
}

/// A label, or an address in brackets, without the `:` and what follows.
fn without_port(label: &str) -> &str {
    let from = label.rfind(']').map_or(0, |bracket| bracket + 1);
    match label[from..].find(':') {
        Some(colon) => &label[..from + colon],
        None => label,
    }
}

impl fmt::Display for SpringHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
