//! Classes of characters: `[a-z&&[^aeiou]]`.
//!
//! Both languages have unions, intersections and nested classes with the same meaning; the spelling of single characters and the
//! reach of `(?i)` differ.

use super::JavaRegexError;
use super::escape::{Escape, escape};
use super::tokens::{Token, Tokens, is_space};
use super::translate::{Flags, syntax, unsupported};

/// Writes the class that begins after `[`, which was read.
pub(super) fn write(
    tokens: &mut Tokens<'_>,
    flags: Flags,
    out: &mut String,
) -> Result<(), JavaRegexError> {
    let folds_unicode = flags.ignores_case && flags.is_unicode_case;
    if folds_unicode {
        out.push_str("(?i:");
    }
    nested(tokens, flags, out, 0)?;
    if folds_unicode {
        out.push(')');
    }
    Ok(())
}

/// Classes in classes have no use beyond two levels or three.
const MAX_DEPTH: usize = 20;

fn nested(
    tokens: &mut Tokens<'_>,
    flags: Flags,
    out: &mut String,
    depth: usize,
) -> Result<(), JavaRegexError> {
    if depth > MAX_DEPTH {
        return Err(JavaRegexError::TooLarge(format!(
            "has classes nested deeper than {MAX_DEPTH} levels"
        )));
    }
    out.push('[');
    if tokens.takes('^') {
        out.push('^');
    }
    // Whether this side of an intersection has something.
    let mut has_items = false;
    let mut is_first = true;
    loop {
        let Some(token) = tokens.next() else {
            return syntax("a class of characters is not closed");
        };
        match token {
            Token::Bare(space) if flags.comments && is_space(space) => continue,
            Token::Bare('#') if flags.comments => {
                while !matches!(tokens.next(), None | Some(Token::Bare('\n'))) {}
                continue;
            }
            Token::Bare(']') if !is_first => {
                if !has_items {
                    return unsupported("an intersection of classes (`&&`) with an empty side");
                }
                out.push(']');
                return Ok(());
            }
            Token::Bare('[') => {
                nested(tokens, flags, out, depth + 1)?;
                has_items = true;
            }
            Token::Bare('&') if tokens.peek() == Some(Token::Bare('&')) => {
                tokens.next();
                if !has_items || tokens.peek() == Some(Token::Bare('&')) {
                    return unsupported("an intersection of classes (`&&`) with an empty side");
                }
                out.push_str("&&");
                has_items = false;
            }
            Token::Bare('\\') => {
                match escape(tokens, flags)? {
                    Escape::Char(character) => range(tokens, character, flags, out)?,
                    Escape::Class(items) => {
                        out.push('[');
                        out.push_str(&items);
                        out.push(']');
                    }
                    Escape::Other(letter) => {
                        return syntax(format!("`\\{letter}` means nothing in a class"));
                    }
                }
                has_items = true;
            }
            Token::Bare(character) | Token::Quoted(character) => {
                range(tokens, character, flags, out)?;
                has_items = true;
            }
        }
        is_first = false;
    }
}

/// Writes a character, or the range that it begins.
fn range(
    tokens: &mut Tokens<'_>,
    first: char,
    flags: Flags,
    out: &mut String,
) -> Result<(), JavaRegexError> {
    let is_range = tokens.peek() == Some(Token::Bare('-'))
        && !matches!(
            tokens.second(),
            None | Some(Token::Bare('[')) | Some(Token::Bare(']'))
        );
    let mut last = first;
    if is_range {
        tokens.next();
        last = match tokens.next() {
            Some(Token::Bare('\\')) => match escape(tokens, flags)? {
                Escape::Char(character) => character,
                _ => return syntax("a range of characters ends in no character"),
            },
            Some(Token::Bare('&')) if tokens.peek() == Some(Token::Bare('&')) => {
                return unsupported("`-&&` in a class");
            }
            Some(Token::Bare(character) | Token::Quoted(character)) => character,
            None => return syntax("a class of characters is not closed"),
        };
        if last < first {
            return syntax("a range of characters ends before it begins");
        }
    }
    push_range(out, first, last);
    if flags.ignores_case && !flags.is_unicode_case {
        push_overlap(out, (first, last), ('a', 'z'), |letter| {
            letter.to_ascii_uppercase()
        });
        push_overlap(out, (first, last), ('A', 'Z'), |letter| {
            letter.to_ascii_lowercase()
        });
    }
    Ok(())
}

/// The letters of the range that are in `alphabet`, in the other case.
fn push_overlap(
    out: &mut String,
    range: (char, char),
    alphabet: (char, char),
    other: impl Fn(char) -> char,
) {
    let (first, last) = (range.0.max(alphabet.0), range.1.min(alphabet.1));
    if first <= last {
        push_range(out, other(first), other(last));
    }
}

fn push_range(out: &mut String, first: char, last: char) {
    push_escaped(out, first);
    if last != first {
        out.push('-');
        push_escaped(out, last);
    }
}

/// Writes a character so that it has no other meaning, in a class or outside.
pub(super) fn push_escaped(out: &mut String, character: char) {
    if character.is_ascii_alphanumeric()
        || matches!(character, '/' | '_' | '=' | ',' | ';' | '%' | '@')
    {
        out.push(character);
    } else {
        out.push_str(&format!("\\x{{{:X}}}", u32::from(character)));
    }
}
