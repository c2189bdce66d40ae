//! Spring's path patterns: `/api/{id:\d+}/**`.
//!
//! The behaviour is that of `PathPattern` in Spring 6.2 and 7. A pattern matches segment by segment, decoded, without matrix
//! parameters. What it is held against is the normalised path of a [`Target`](crate::Target), which has neither empty nor dot
//! segments: a pattern that asks for those never matches.

mod parse;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use pailou_filters::JavaRegex;

use super::decode::{self, decoded};

/// A path pattern, parsed.
#[derive(Debug)]
pub struct SpringPath {
    text: Box<str>,
    parts: Box<[Part]>,
    /// Whether a path may have one slash more at its end.
    takes_slash: bool,
    /// Why it can never match, if so.
    never: Option<&'static str>,
}

/// One element of a pattern. Between two of them that take text there is a slash.
#[derive(Debug)]
enum Part {
    Slash,
    Literal(Box<str>),
    /// A literal in which `?` is any one character.
    Question(Box<str>),
    /// `*`
    Star,
    /// `{name}`, `{name:constraint}`
    Variable(Arc<str>, Option<JavaRegex>),
    /// `*.html`, `{name}.{extension}`: an expression, and for each variable the number of its group.
    Regex(JavaRegex, Box<[(Arc<str>, usize)]>),
    /// `/**` or `/{*name}`, at the end or at the beginning.
    Rest(Option<Arc<str>>),
}

/// Why a pattern is refused.
pub(crate) use parse::PatternError;

/// Where a pattern stands in the index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prefix<'p> {
    /// The literal segments that every path begins with that it matches. The empty one at the end is a slash there.
    pub(crate) segments: Vec<&'p str>,
    /// Which of the paths that begin with them it matches.
    pub(crate) takes: Takes,
}

/// Which paths below a literal prefix a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// The prefix itself, and nothing else.
    Exact,
    /// The prefix with or without a slash.
    ExactOrSlash,
    /// The prefix and all below.
    All,
    /// Some.
    Some,
}

impl SpringPath {
    /// Parses a pattern. With `takes_slash`, a path may have one slash more at its end.
    ///
    /// # Errors
    /// As Spring says them, and what cannot be honoured.
    pub(crate) fn parse(text: &str, takes_slash: bool) -> Result<SpringPath, PatternError> {
        let parts = parse::parts(text)?;
        let never = parse::never(&parts);
        Ok(SpringPath {
            text: text.into(),
            parts: parts.into(),
            takes_slash,
            never,
        })
    }

    /// Why it can never match, if so.
    pub(crate) fn never(&self) -> Option<&'static str> {
        self.never
    }

    /// The constraints with groups that capture, on which Spring fails at the first request.
    pub(crate) fn capturing_constraints(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(_, Some(regex)) if regex.groups() > 0 => Some(regex.text()),
            Part::Regex(regex, variables) if regex.groups() > variables.len() => Some(regex.text()),
            _ => None,
        })
    }

    /// The names of its variables.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.parts.iter().flat_map(|part| {
            let (one, some): (_, &[(Arc<str>, usize)]) = match part {
                Part::Variable(name, _) | Part::Rest(Some(name)) => (Some(name), &[]),
                Part::Regex(_, variables) => (None, variables),
                _ => (None, &[]),
            };
            one.into_iter().chain(some.iter().map(|(name, _)| name))
        })
    }

    /// Where it stands in the index; `None` if it never matches.
    pub(crate) fn prefix(&self) -> Option<Prefix<'_>> {
        if self.never.is_some() {
            return None;
        }
        let mut segments = Vec::new();
        let mut rest = &*self.parts;
        loop {
            rest = match rest {
                [Part::Slash, Part::Literal(text), after @ ..] => {
                    segments.push(&**text);
                    after
                }
                _ => break,
            };
        }
        let takes = match rest {
            [] if self.takes_slash => Takes::ExactOrSlash,
            [] => Takes::Exact,
            [Part::Slash] => {
                segments.push("");
                Takes::Exact
            }
            [Part::Rest(_)] => Takes::All,
            _ => Takes::Some,
        };
        Some(Prefix { segments, takes })
    }

    /// Whether it matches a normalised path without parameters.
    ///
    /// Allocates only to hand an encoded segment to an expression.
    pub(crate) fn matches(&self, path: &str) -> bool {
        self.never.is_none() && self.walk(path, &mut |_, _| {})
    }

    /// Calls back with each variable and its value, if it matches.
    pub(crate) fn capture<'p>(
        &'p self,
        path: &str,
        mut captured: impl FnMut(&'p Arc<str>, Cow<'_, str>),
    ) {
        if self.matches(path) {
            self.walk(path, &mut captured);
        }
    }

    fn walk<'p>(
        &'p self,
        path: &str,
        captured: &mut dyn FnMut(&'p Arc<str>, Cow<'_, str>),
    ) -> bool {
        let [Part::Rest(name), rest @ ..] = &*self.parts else {
            return self.follow(&self.parts, path, captured);
        };
        if rest.is_empty() {
            return self.follow(&self.parts, path, captured);
        }
        // At the beginning: as little as possible.
        for (at, _) in path.match_indices('/') {
            if self.follow(rest, &path[at..], &mut |_, _| {}) {
                if let Some(name) = name {
                    captured(name, decoded(&path[..at]));
                }
                return self.follow(rest, &path[at..], captured);
            }
        }
        false
    }

    /// Whether `parts` take all of `path`. Each part takes one segment or one slash, so that there is nothing to go back to.
    fn follow<'p>(
        &self,
        parts: &'p [Part],
        mut path: &str,
        captured: &mut dyn FnMut(&'p Arc<str>, Cow<'_, str>),
    ) -> bool {
        for (index, part) in parts.iter().enumerate() {
            let is_last = index + 1 == parts.len();
            if let Part::Rest(name) = part {
                let is_match = path.is_empty() || path.starts_with('/');
                if let Some(name) = name.as_ref().filter(|_| is_match) {
                    captured(name, decoded(path));
                }
                return is_match;
            }
            if let Part::Slash = part {
                let Some(after) = path.strip_prefix('/') else {
                    return false;
                };
                path = after;
                if is_last {
                    return path.is_empty();
                }
                continue;
            }
            let end = path.find('/').unwrap_or(path.len());
            let (segment, after) = path.split_at(end);
            if !part.takes(segment, is_last, captured) {
                return false;
            }
            path = after;
            // A slash alone is no segment with a slash behind it.
            let is_end =
                path.is_empty() || (self.takes_slash && path == "/" && !segment.is_empty());
            if is_last {
                return is_end;
            }
        }
        false
    }
}

impl Part {
    /// Whether it takes this segment, which is empty where the path has none.
    fn takes<'p>(
        &'p self,
        segment: &str,
        is_last: bool,
        captured: &mut dyn FnMut(&'p Arc<str>, Cow<'_, str>),
    ) -> bool {
        match self {
            Part::Literal(text) => decode::is_text(segment, text),
            Part::Question(text) => {
                let segment = decoded(segment);
                segment.chars().count() == text.chars().count()
                    && segment
                        .chars()
                        .zip(text.chars())
                        .all(|(character, wanted)| wanted == '?' || character == wanted)
            }
            // Nothing at all only at the very end.
            Part::Star => !segment.is_empty() || is_last,
            Part::Variable(_, _) if segment.is_empty() => false,
            Part::Variable(name, constraint) => {
                let segment = decoded(segment);
                let holds = constraint
                    .as_ref()
                    .is_none_or(|constraint| constraint.is_match(&segment));
                if holds {
                    captured(name, segment);
                }
                holds
            }
            Part::Regex(regex, variables) if variables.is_empty() => {
                regex.is_match(&decoded(segment))
            }
            Part::Regex(regex, variables) => {
                let segment = decoded(segment);
                // Spring asks for something to bind, though only where the pattern ends.
                if is_last && segment.is_empty() {
                    return false;
                }
                let Some(groups) = regex.captures(&segment) else {
                    return false;
                };
                for (name, group) in variables {
                    let value = groups.get(group - 1).copied().flatten().unwrap_or_default();
                    captured(name, Cow::Borrowed(value));
                }
                true
            }
            Part::Slash | Part::Rest(_) => false,
        }
    }
}

impl fmt::Display for SpringPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
