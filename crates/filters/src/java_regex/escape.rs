//! What stands behind a backslash, in a class and outside.

use super::translate::{Flags, syntax, unsupported};
use super::{
    JavaRegexError, property,
    tokens::{Token, Tokens},
};

/// What an escape means.
pub(super) enum Escape {
    /// One character.
    Char(char),
    /// A class of characters, spelled as an item of a class.
    Class(String),
    /// Something that no class can have.
    Other(char),
}

/// Reads what follows a backslash.
pub(super) fn escape(tokens: &mut Tokens<'_>, flags: Flags) -> Result<Escape, JavaRegexError> {
    // As it stands: the second `\` of `\\Q` begins no quotation.
    let Some(letter) = tokens.raw() else {
        return syntax("`\\` stands at the end");
    };
    Ok(Escape::Char(match letter {
        't' => '\t',
        'n' => '\n',
        'r' => '\r',
        'f' => '\x0C',
        'a' => '\x07',
        'e' => '\x1B',
        '0' => octal(tokens)?,
        'x' => hexadecimal(tokens)?,
        'u' => utf16(tokens)?,
        'c' => match tokens.next() {
            Some(Token::Bare(control)) if control.is_ascii() => char::from(control as u8 ^ 64),
            _ => return syntax("`\\c` is not followed by a character"),
        },
        'd' | 'D' | 'h' | 'H' | 's' | 'S' | 'v' | 'V' | 'w' | 'W' => {
            return Ok(Escape::Class(property::predefined(letter, flags)));
        }
        'p' | 'P' => {
            let name = match tokens.next() {
                Some(Token::Bare('{')) => {
                    let name = tokens.raw_while(|character| character != '}');
                    if !tokens.takes('}') {
                        return syntax("the name of a property is not closed by `}`");
                    }
                    name
                }
                Some(Token::Bare(name)) => name.to_string(),
                _ => return syntax("`\\p` is not followed by a property"),
            };
            return property::named(&name, letter == 'P', flags).map(Escape::Class);
        }
        letter if letter.is_ascii_alphanumeric() => return Ok(Escape::Other(letter)),
        other => other,
    }))
}

/// `\0n`, `\0nn`, `\0mnn` with m ≤ 3.
fn octal(tokens: &mut Tokens<'_>) -> Result<char, JavaRegexError> {
    let mut value = None;
    for place in 0..3 {
        let Some(Token::Bare(digit @ '0'..='7')) = tokens.peek() else {
            break;
        };
        if place == 2 && value > Some(0o37) {
            break;
        }
        tokens.next();
        value = Some(value.unwrap_or(0) * 8 + (digit as u8 - b'0') as u32);
    }
    match value.and_then(char::from_u32) {
        Some(character) => Ok(character),
        None => syntax("`\\0` is not followed by an octal number"),
    }
}

fn hexadecimal(tokens: &mut Tokens<'_>) -> Result<char, JavaRegexError> {
    let digits = if tokens.takes('{') {
        let digits = tokens.raw_while(|character| character.is_ascii_hexdigit());
        if !tokens.takes('}') {
            return syntax("`\\x{` is not closed by `}`");
        }
        digits
    } else {
        hex_digits(tokens, 2)
    };
    let code = u32::from_str_radix(&digits, 16).ok();
    match code.and_then(char::from_u32) {
        Some(character) => Ok(character),
        None => syntax("`\\x` is not followed by the number of a character"),
    }
}

/// `\uXXXX`, and two of them that are a surrogate pair.
fn utf16(tokens: &mut Tokens<'_>) -> Result<char, JavaRegexError> {
    let unit = |tokens: &mut Tokens<'_>| u16::from_str_radix(&hex_digits(tokens, 4), 16).ok();
    let Some(first) = unit(tokens) else {
        return syntax("`\\u` is not followed by four hexadecimal digits");
    };
    if let Some(character) = char::from_u32(first.into()) {
        return Ok(character);
    }
    let mut ahead = tokens.clone();
    let second = (ahead.takes('\\') && ahead.takes('u'))
        .then(|| unit(&mut ahead))
        .flatten();
    let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    match pair {
        Some(character) => {
            *tokens = ahead;
            Ok(character)
        }
        None => unsupported("half a surrogate pair"),
    }
}

fn hex_digits(tokens: &mut Tokens<'_>, count: usize) -> String {
    let mut digits = String::new();
    while digits.len() < count {
        match tokens.peek() {
            Some(Token::Bare(digit)) if digit.is_ascii_hexdigit() => digits.push(digit),
            _ => return String::new(),
        }
        tokens.next();
    }
    digits
}
