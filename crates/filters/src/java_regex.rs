//! Java's regular expressions, as route documents of Spring Cloud Gateway have them.
//!
//! An expression is translated to the syntax of the crate `regex`, whose time is linear in the length of the text. What that
//! crate has no words for (look-around, back-references, possessive quantifiers) goes to `fancy-regex`, which backtracks within a
//! bound. What neither can say is refused with the reason. The meaning is that of Java 17, but for:
//!
//! - `$` and `\Z` are the very end of the text; Java also takes the place before a final line end, which paths and header values
//!   do not have.
//! - `\b` knows ASCII words, as since Java 19.
//! - `.` and classes take whole characters beyond the basic plane, never half of one.

mod class;
mod escape;
mod property;
mod replacement;
mod tokens;
mod translate;

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

pub use replacement::Replacement;

/// The longest expression. Those in documents have some dozen characters.
const MAX_TEXT_BYTES: usize = 4096;

/// Compiled size of one expression; with 20,000 routes the worst case stays bounded.
const MAX_COMPILED_BYTES: usize = 256 << 10;

/// How often one search may go back. A step may read the rest of the text, so the text is bounded too.
const MAX_BACKTRACKS: usize = 20_000;

/// The longest text that is searched with backtracking; longer ones count as too much work.
const MAX_BACKTRACKING_TEXT_BYTES: usize = 4096;

/// A compiled expression.
///
/// ```
/// use pailou_filters::JavaRegex;
///
/// let id = JavaRegex::whole(r"\p{Alpha}++-(?!0)\d{1,3}").expect("a legal expression");
/// assert!(id.is_match("order-42"));
/// assert!(!id.is_match("order-042") && !id.is_match("an order-42"));
///
/// let red = JavaRegex::anywhere("/red/?(?<segment>.*)").expect("a legal expression");
/// let path = red.replacement(r"/$\{segment}").expect("a legal replacement");
/// assert_eq!(red.replace_all("/red/blue", &path).expect("little work"), "/blue");
/// ```
pub struct JavaRegex {
    text: Box<str>,
    /// The names of groups with their numbers.
    names: Box<[(Box<str>, usize)]>,
    /// How many groups capture.
    groups: usize,
    engine: Engine,
}

enum Engine {
    /// Takes time in proportion to the text.
    Linear(regex::Regex),
    /// Backtracks, at most [`MAX_BACKTRACKS`] times.
    Backtracking(Box<fancy_regex::Regex>),
}

/// Why an expression or a replacement is refused, when its route is read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JavaRegexError {
    /// Java refuses it too.
    #[error("not a Java regular expression: {0}")]
    Syntax(String),
    /// Java accepts it, and it cannot be honoured here.
    #[error("{0} cannot be honoured here")]
    Unsupported(String),
    /// It is too large.
    #[error("the expression {0}")]
    TooLarge(String),
    /// The replacement means nothing to Java either.
    #[error("not a replacement: {0}")]
    Replacement(String),
}

/// A search took more steps than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the regular expression takes too long on this text")]
pub struct TooMuchWork;

impl JavaRegex {
    /// An expression for whole texts, as `String.matches` takes it.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn whole(text: &str) -> Result<JavaRegex, JavaRegexError> {
        JavaRegex::compile(text, r"\A(?:", r")\z")
    }

    /// An expression that is searched for in texts, as `String.replaceAll` takes it.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn anywhere(text: &str) -> Result<JavaRegex, JavaRegexError> {
        JavaRegex::compile(text, "", "")
    }

    fn compile(text: &str, before: &str, after: &str) -> Result<JavaRegex, JavaRegexError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(JavaRegexError::TooLarge(format!(
                "is longer than {MAX_TEXT_BYTES} bytes"
            )));
        }
        let translated = translate::translate(text)?;
        let rust = format!("{before}{}{after}", translated.text);
        let engine = if translated.needs_backtracking {
            let built = fancy_regex::RegexBuilder::new(&rust)
                .backtrack_limit(MAX_BACKTRACKS)
                .delegate_size_limit(MAX_COMPILED_BYTES)
                .delegate_dfa_size_limit(MAX_COMPILED_BYTES)
                .build();
            Engine::Backtracking(Box::new(built.map_err(|error| unsupported(&error))?))
        } else {
            let built = regex::RegexBuilder::new(&rust)
                .size_limit(MAX_COMPILED_BYTES)
                .dfa_size_limit(MAX_COMPILED_BYTES)
                .build();
            Engine::Linear(built.map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => JavaRegexError::TooLarge(format!(
                    "takes more than {MAX_COMPILED_BYTES} bytes when compiled"
                )),
                error => unsupported(&error),
            })?)
        };
        Ok(JavaRegex {
            text: text.into(),
            names: translated.names.into(),
            groups: translated.groups,
            engine,
        })
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many of its groups capture, the whole match apart.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Whether it needs backtracking: a text can then take up to the bound, some milliseconds.
    pub fn is_backtracking(&self) -> bool {
        matches!(self.engine, Engine::Backtracking(_))
    }

    /// Whether the text matches. A search that takes too long is no match.
    pub fn is_match(&self, text: &str) -> bool {
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(text),
            Engine::Backtracking(regex) => {
                text.len() <= MAX_BACKTRACKING_TEXT_BYTES && regex.is_match(text).unwrap_or(false)
            }
        }
    }

    /// What the groups captured at the first match, `None` for one that took no part; nothing if there is no match. A search that
    /// takes too long is no match.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Vec<Option<&'t str>>> {
        let found = self.find(text, 0).ok()??;
        let group = |number| found.group(number);
        Some((1..=self.groups).map(group).collect())
    }

    /// Reads a replacement for matches of this expression: `$1`, `${name}`, `\` before a character that stands for itself. The
    /// spelling `$\{name}`, which keeps Spring from filling in placeholders, is `${name}`.
    ///
    /// # Errors
    /// The reason why Java would fail on it at the first match.
    pub fn replacement(&self, text: &str) -> Result<Replacement, JavaRegexError> {
        let number = |name: &str| {
            let mut names = self.names.iter();
            names
                .find(|(known, _)| **known == *name)
                .map(|(_, number)| *number)
        };
        Replacement::parse(text, self.groups, number).map_err(JavaRegexError::Replacement)
    }

    /// The text with every match replaced, an empty one at the end of another included, as Java does.
    ///
    /// Borrows when nothing matches.
    ///
    /// # Errors
    /// [`TooMuchWork`] when a search takes more steps than it may.
    pub fn replace_all<'t>(
        &self,
        text: &'t str,
        with: &Replacement,
    ) -> Result<Cow<'t, str>, TooMuchWork> {
        let Some(first) = self.find(text, 0)? else {
            return Ok(Cow::Borrowed(text));
        };
        let mut replaced = String::with_capacity(text.len() + 16);
        let mut copied = 0;
        let mut next = Some(first);
        while let Some(found) = next {
            let (start, end) = found.span();
            replaced.push_str(&text[copied..start]);
            with.expand(|number| found.group(number), &mut replaced);
            copied = end;
            let from = match text[end..].chars().next() {
                Some(character) if start == end => end + character.len_utf8(),
                None if start == end => break,
                _ => end,
            };
            next = self.find(text, from)?;
        }
        replaced.push_str(&text[copied..]);
        Ok(Cow::Owned(replaced))
    }

    fn find<'t>(&self, text: &'t str, from: usize) -> Result<Option<Found<'t>>, TooMuchWork> {
        match &self.engine {
            Engine::Linear(regex) => Ok(regex.captures_at(text, from).map(Found::Linear)),
            Engine::Backtracking(_) if text.len() > MAX_BACKTRACKING_TEXT_BYTES => Err(TooMuchWork),
            Engine::Backtracking(regex) => match regex.captures_from_pos(text, from) {
                Ok(found) => Ok(found.map(Found::Backtracking)),
                Err(_) => Err(TooMuchWork),
            },
        }
    }
}

impl fmt::Debug for JavaRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JavaRegex").field(&self.text).finish()
    }
}

impl fmt::Display for JavaRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One match with its groups.
enum Found<'t> {
    Linear(regex::Captures<'t>),
    Backtracking(fancy_regex::Captures<'t, str>),
}

impl<'t> Found<'t> {
    fn group(&self, number: usize) -> Option<&'t str> {
        match self {
            Found::Linear(captures) => captures.get(number).map(|group| group.as_str()),
            Found::Backtracking(captures) => captures.get(number).map(|group| group.as_str()),
        }
    }

    /// Where the whole match is.
    fn span(&self) -> (usize, usize) {
        let span = match self {
            Found::Linear(captures) => captures.get(0).map(|all| (all.start(), all.end())),
            Found::Backtracking(captures) => captures.get(0).map(|all| (all.start(), all.end())),
        };
        // Both crates say that group 0 always took part.
        span.unwrap_or_default()
    }
}

/// What the crates say on several lines, its last one: the reason.
fn unsupported(error: &dyn fmt::Display) -> JavaRegexError {
    let message = error.to_string();
    let reason = message.lines().last().unwrap_or_default();
    let reason = reason.trim_start_matches("error: ");
    JavaRegexError::Unsupported(format!("the expression ({reason})"))
}

#[cfg(test)]
mod tests;
