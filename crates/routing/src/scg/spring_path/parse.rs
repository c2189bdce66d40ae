//! From the text of a path pattern to its parts, with the errors of Spring's parser.

use std::collections::BTreeSet;
use std::sync::Arc;

use pailou_filters::JavaRegex;
use thiserror::Error;

use super::Part;

/// More segments are no pattern that anyone wrote.
const MAX_SEGMENTS: usize = 128;

/// Why a path pattern is refused. All but the last two are Spring's reasons.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum PatternError {
    #[error("`**` and `{{*…}}` stand at the beginning or at the end of a pattern only")]
    RestInside,
    #[error("a pattern has `**` or `{{*…}}` once at most")]
    TwoRests,
    #[error("`{{*…}}` is alone in its segment")]
    RestWithOthers,
    #[error("a variable stands within another one")]
    Nested,
    #[error("`}}` closes no variable")]
    NotOpen,
    #[error("a variable is not closed by `}}`")]
    NotClosed,
    #[error("the constraint of a variable is empty")]
    NoConstraint,
    #[error("`{0}` cannot be in the name of a variable")]
    Name(char),
    #[error("two variables are called `{0}`")]
    TwoVariables(String),
    #[error("{0}")]
    Regex(String),
    #[error("more than {MAX_SEGMENTS} segments")]
    TooLong,
}

/// The parts of a pattern.
pub(super) fn parts(text: &str) -> Result<Vec<Part>, PatternError> {
    let mut parts = Vec::new();
    let mut names = BTreeSet::new();
    let mut rest = text;
    while !rest.is_empty() {
        if parts.len() > 2 * MAX_SEGMENTS {
            return Err(PatternError::TooLong);
        }
        // `/**` and `/{*…}` take their slash with them.
        let (before, after) = match rest.strip_prefix('/') {
            Some(after) => ("/", after),
            None => ("", rest),
        };
        let (segment, variables) = segment(after)?;
        rest = &after[segment.len()..];
        if segment == "**" {
            parts.push(Part::Rest(None));
            continue;
        }
        if let Some(name) = rest_variable(segment, &variables)? {
            record(&mut names, &name)?;
            parts.push(Part::Rest(Some(name)));
            continue;
        }
        if !before.is_empty() {
            parts.push(Part::Slash);
        }
        if !segment.is_empty() {
            parts.push(part(segment, &variables, &mut names)?);
        }
    }
    check_rests(&parts)?;
    Ok(parts)
}

/// Why these parts match no normalised path, if so.
pub(super) fn never(parts: &[Part]) -> Option<&'static str> {
    if !matches!(parts.first(), Some(Part::Slash | Part::Rest(_))) {
        return Some("it does not begin with `/`");
    }
    let is_double = |pair: &[Part]| {
        matches!(
            pair,
            [Part::Slash, Part::Slash | Part::Rest(_)] | [Part::Rest(_), Part::Rest(_)]
        )
    };
    if parts.windows(2).any(is_double) {
        return Some("doubled slashes are merged before paths are matched");
    }
    let is_dots =
        |part: &Part| matches!(part, Part::Literal(text) if matches!(&**text, "." | ".."));
    if parts.iter().any(is_dots) {
        return Some("dot segments are resolved before paths are matched");
    }
    None
}

/// A variable within a segment: from its `{` to its `}`, in bytes.
struct Span {
    start: usize,
    end: usize,
    /// Where the `:` before the constraint is.
    colon: Option<usize>,
    is_rest: bool,
}

/// The text up to the next slash outside of constraints, and the variables in it.
fn segment(text: &str) -> Result<(&str, Vec<Span>), PatternError> {
    let mut variables: Vec<Span> = Vec::new();
    let mut open: Option<Span> = None;
    let mut chars = text.char_indices();
    while let Some((at, character)) = chars.next() {
        match (character, &mut open) {
            ('/', Some(_)) => return Err(PatternError::NotClosed),
            ('/', None) => return Ok((&text[..at], variables)),
            ('{', Some(_)) => return Err(PatternError::Nested),
            ('{', None) => {
                open = Some(Span {
                    start: at,
                    end: at,
                    colon: None,
                    is_rest: false,
                });
            }
            ('}', None) => return Err(PatternError::NotOpen),
            ('}', Some(_)) => {
                variables.extend(open.take().map(|span| Span { end: at, ..span }));
            }
            (':', Some(span)) if !span.is_rest => {
                let end = constraint_end(&text[at + 1..])? + at + 1;
                variables.extend(open.take().map(|span| Span {
                    end,
                    colon: Some(at),
                    ..span
                }));
                while chars.next().is_some_and(|(at, _)| at < end) {}
            }
            ('*', Some(span)) if at == span.start + 1 => span.is_rest = true,
            (character, Some(span)) => {
                let first = span.start + 1 + usize::from(span.is_rest);
                let is_legal = is_name_start(character)
                    || (at > first && (character.is_alphanumeric() || character == '-'));
                if !is_legal {
                    return Err(PatternError::Name(character));
                }
            }
            (_, None) => {}
        }
    }
    match open {
        Some(_) => Err(PatternError::NotClosed),
        None => Ok((text, variables)),
    }
}

/// Where the `}` is that closes a variable whose constraint begins here. Braces in it come in pairs or behind `\`; so do slashes.
fn constraint_end(text: &str) -> Result<usize, PatternError> {
    let mut depth = 0;
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        if is_escaped {
            is_escaped = false;
            continue;
        }
        match character {
            '\\' => is_escaped = true,
            '{' => depth += 1,
            '}' if depth == 0 && at == 0 => return Err(PatternError::NoConstraint),
            '}' if depth == 0 => return Ok(at),
            '}' => depth -= 1,
            '/' => return Err(PatternError::NotClosed),
            _ => {}
        }
    }
    Err(PatternError::NotClosed)
}

/// As `Character.isJavaIdentifierStart`.
fn is_name_start(character: char) -> bool {
    character.is_alphabetic() || matches!(character, '_' | '$')
}

/// The name in `{*name}`, if the segment is that.
fn rest_variable(segment: &str, variables: &[Span]) -> Result<Option<Arc<str>>, PatternError> {
    let Some(span) = variables.iter().find(|span| span.is_rest) else {
        return Ok(None);
    };
    if span.start != 0 || span.end + 1 != segment.len() {
        return Err(PatternError::RestWithOthers);
    }
    Ok(Some(segment[2..span.end].into()))
}

fn record(names: &mut BTreeSet<Arc<str>>, name: &Arc<str>) -> Result<(), PatternError> {
    if names.insert(Arc::clone(name)) {
        Ok(())
    } else {
        Err(PatternError::TwoVariables(name.to_string()))
    }
}

/// The part that a whole segment is.
fn part(
    segment: &str,
    variables: &[Span],
    names: &mut BTreeSet<Arc<str>>,
) -> Result<Part, PatternError> {
    if let [span] = variables
        && span.start == 0
        && span.end + 1 == segment.len()
    {
        let name = name(segment, span);
        record(names, &name)?;
        // As Spring compiles it: `.` takes line ends too.
        let constraint = constraint(segment, span)
            .map(|constraint| regex(&format!("(?s){constraint}")))
            .transpose()?;
        return Ok(Part::Variable(name, constraint));
    }
    if variables.is_empty() && !segment.contains('*') {
        return Ok(match segment.contains('?') {
            true => Part::Question(segment.into()),
            false => Part::Literal(segment.into()),
        });
    }
    if segment == "*" {
        return Ok(Part::Star);
    }
    mixed(segment, variables, names)
}

/// A segment with wildcards or several variables is one expression.
fn mixed(
    segment: &str,
    variables: &[Span],
    names: &mut BTreeSet<Arc<str>>,
) -> Result<Part, PatternError> {
    let mut expression = String::from("(?s)");
    let mut groups = Vec::new();
    let mut group = 1;
    let mut at = 0;
    for span in variables {
        wildcards(&segment[at..span.start], &mut expression);
        let name = name(segment, span);
        record(names, &name)?;
        groups.push((name, group));
        group += 1;
        let constraint = constraint(segment, span).unwrap_or(".*");
        let alone = regex(constraint)?;
        if alone.groups() > 0 && alone.is_backtracking() {
            return Err(PatternError::Regex(format!(
                "a constraint with groups that capture, `{constraint}`, cannot be honoured beside other parts of its segment"
            )));
        }
        group += alone.groups();
        expression.push_str(&format!("({constraint})"));
        at = span.end + 1;
    }
    wildcards(&segment[at..], &mut expression);
    Ok(Part::Regex(regex(&expression)?, groups.into()))
}

/// A text in which `*` and `?` are wildcards, as an expression.
fn wildcards(text: &str, expression: &mut String) {
    for character in text.chars() {
        match character {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            character if character.is_alphanumeric() => expression.push(character),
            character => expression.push_str(&format!("\\x{{{:X}}}", u32::from(character))),
        }
    }
}

fn name(segment: &str, span: &Span) -> Arc<str> {
    segment[span.start + 1..span.colon.unwrap_or(span.end)].into()
}

fn constraint<'s>(segment: &'s str, span: &Span) -> Option<&'s str> {
    span.colon.map(|colon| &segment[colon + 1..span.end])
}

fn regex(text: &str) -> Result<JavaRegex, PatternError> {
    JavaRegex::whole(text).map_err(|error| PatternError::Regex(error.to_string()))
}

fn check_rests(parts: &[Part]) -> Result<(), PatternError> {
    let rests = parts.iter().enumerate();
    let rests: Vec<usize> = rests
        .filter(|(_, part)| matches!(part, Part::Rest(_)))
        .map(|(index, _)| index)
        .collect();
    match rests[..] {
        [] => Ok(()),
        [at] if at == 0 || at + 1 == parts.len() => Ok(()),
        [_] => Err(PatternError::RestInside),
        _ => Err(PatternError::TwoRests),
    }
}
