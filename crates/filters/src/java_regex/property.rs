//! Classes with a name: `\d`, `\p{Alpha}`, `\p{IsLatin}`. All are written as items of a class.

use super::JavaRegexError;
use super::translate::{Flags, syntax, unsupported};

const WORD: &str = "0-9A-Za-z_";
const SPACE: &str = r"\t\n\x0B\x0C\r\x20";
const HORIZONTAL: &str = r"\x20\t\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}";
const VERTICAL: &str = r"\n\x0B\x0C\r\x{85}\x{2028}\x{2029}";

/// The classes of one letter; a capital one is the rest.
pub(super) fn predefined(letter: char, flags: Flags) -> String {
    let items = match (letter.to_ascii_lowercase(), flags.is_unicode_class) {
        ('d', false) => "0-9",
        ('d', true) => r"\p{Nd}",
        ('w', false) => WORD,
        ('w', true) => r"\w",
        ('s', false) => SPACE,
        ('s', true) => r"\p{White_Space}",
        ('h', _) => HORIZONTAL,
        _ => VERTICAL,
    };
    negated(items, letter.is_ascii_uppercase())
}

/// `\p{name}`, or with `is_negated`, `\P{name}`.
pub(super) fn named(name: &str, is_negated: bool, flags: Flags) -> Result<String, JavaRegexError> {
    let any_case = flags.ignores_case;
    let items = match name.split_once('=') {
        Some((kind, value)) => match kind.to_ascii_lowercase().as_str() {
            "sc" | "script" => script(value)?,
            "gc" | "general_category" => {
                category(value, any_case).map_or_else(|| syntax(unknown(name)), Ok)?
            }
            "blk" | "block" => return unsupported(format!("`{name}`, a Unicode block,")),
            _ => return syntax(unknown(name)),
        },
        None => match name.strip_prefix("Is") {
            Some(rest) => is(rest, any_case)?,
            None if name.starts_with("In") => {
                return unsupported(format!("`{name}`, a Unicode block,"));
            }
            None if name.starts_with("java") => java(name, any_case)?,
            None => match posix(name, flags)? {
                Some(items) => items.to_owned(),
                None => category(name, any_case).map_or_else(|| syntax(unknown(name)), Ok)?,
            },
        },
    };
    Ok(negated(&items, is_negated))
}

fn negated(items: &str, is_negated: bool) -> String {
    match is_negated {
        true => format!("[^{items}]"),
        false => items.to_owned(),
    }
}

fn unknown(name: &str) -> String {
    format!("`{}` is no property of characters", name.escape_debug())
}

/// The classes of POSIX, ASCII unless the flag `U` is on; `None` if it is none of them.
fn posix(name: &str, flags: Flags) -> Result<Option<&'static str>, JavaRegexError> {
    let both_cases = flags.ignores_case;
    Ok(Some(match (name, flags.is_unicode_class) {
        ("ASCII", _) => r"\x00-\x7F",
        ("Lower" | "Upper" | "Alpha", false) if both_cases => "A-Za-z",
        ("Lower", false) => "a-z",
        ("Upper", false) => "A-Z",
        ("Alpha", false) => "A-Za-z",
        ("Digit", false) => "0-9",
        ("Alnum", false) => "0-9A-Za-z",
        ("Punct", false) => r"\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E",
        ("Graph", false) => r"\x21-\x7E",
        ("Print", false) => r"\x20-\x7E",
        ("Blank", false) => r"\x20\t",
        ("Cntrl", false) => r"\x00-\x1F\x7F",
        ("XDigit", false) => "0-9A-Fa-f",
        ("Space", false) => SPACE,
        ("Lower" | "Upper", true) if both_cases => r"\p{Lowercase}\p{Uppercase}\p{Lt}",
        ("Lower", true) => r"\p{Lowercase}",
        ("Upper", true) => r"\p{Uppercase}",
        ("Alpha", true) => r"\p{Alphabetic}",
        ("Digit", true) => r"\p{Nd}",
        ("Alnum", true) => r"\p{Alphabetic}\p{Nd}",
        ("Punct", true) => r"\p{P}",
        ("Blank", true) => r"\p{Zs}\t",
        ("Cntrl", true) => r"\p{Cc}",
        ("XDigit", true) => r"\p{Nd}\p{Hex_Digit}",
        ("Space", true) => r"\p{White_Space}",
        ("Graph" | "Print", true) => {
            return unsupported(format!("`\\p{{{name}}}` under the flag `U`"));
        }
        _ => return Ok(None),
    }))
}

/// General categories, as Java spells them.
fn category(name: &str, any_case: bool) -> Option<String> {
    const CATEGORIES: &[&str] = &[
        "Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Me", "Mc", "Nd", "Nl", "No", "Zs", "Zl", "Zp",
        "Cc", "Cf", "Co", "Pd", "Ps", "Pe", "Pc", "Po", "Sm", "Sc", "Sk", "So", "Pi", "Pf", "L",
        "M", "N", "Z", "C", "P", "S",
    ];
    Some(match name {
        "Lu" | "Ll" | "Lt" if any_case => r"\p{Lu}\p{Ll}\p{Lt}".to_owned(),
        "LC" => r"\p{Lu}\p{Ll}\p{Lt}".to_owned(),
        "LD" => r"\p{L}\p{Nd}".to_owned(),
        "L1" => r"\x00-\x{FF}".to_owned(),
        "all" => r"\x00-\x{10FFFF}".to_owned(),
        _ => format!(
            r"\p{{{}}}",
            CATEGORIES.iter().find(|known| **known == name)?
        ),
    })
}

/// `\p{Is…}`: a property, a category or a script.
fn is(name: &str, any_case: bool) -> Result<String, JavaRegexError> {
    let items = match name.to_ascii_uppercase().as_str() {
        "ALPHABETIC" => r"\p{Alphabetic}",
        "LETTER" => r"\p{L}",
        "IDEOGRAPHIC" => r"\p{Ideographic}",
        "LOWERCASE" | "UPPERCASE" | "TITLECASE" if any_case => r"\p{Lowercase}\p{Uppercase}\p{Lt}",
        "LOWERCASE" => r"\p{Lowercase}",
        "UPPERCASE" => r"\p{Uppercase}",
        "TITLECASE" => r"\p{Lt}",
        "WHITE_SPACE" => r"\p{White_Space}",
        "CONTROL" => r"\p{Cc}",
        "PUNCTUATION" => r"\p{P}",
        "HEX_DIGIT" => r"\p{Nd}\p{Hex_Digit}",
        "DIGIT" => r"\p{Nd}",
        "ALNUM" => r"\p{Alphabetic}\p{Nd}",
        "WORD" => r"\w",
        "JOIN_CONTROL" => r"\p{Join_Control}",
        "ASSIGNED" | "NONCHARACTER_CODE_POINT" | "BLANK" | "GRAPH" | "PRINT" | "EMOJI" => {
            return unsupported(format!("`\\p{{Is{name}}}`"));
        }
        _ => {
            return match category(name, any_case) {
                Some(items) => Ok(items),
                None => script(name),
            };
        }
    };
    Ok(items.to_owned())
}

/// A script; the crate `regex` knows their names.
fn script(name: &str) -> Result<String, JavaRegexError> {
    let is_name = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b' ';
    if name.is_empty() || !name.bytes().all(is_name) {
        return syntax(unknown(name));
    }
    Ok(format!(r"\p{{Script={name}}}"))
}

/// `\p{java…}`: what `java.lang.Character` says.
fn java(name: &str, any_case: bool) -> Result<String, JavaRegexError> {
    let items = match name {
        "javaLowerCase" | "javaUpperCase" | "javaTitleCase" if any_case => {
            r"\p{Lowercase}\p{Uppercase}\p{Lt}"
        }
        "javaLowerCase" => r"\p{Lowercase}",
        "javaUpperCase" => r"\p{Uppercase}",
        "javaTitleCase" => r"\p{Lt}",
        "javaDigit" => r"\p{Nd}",
        "javaLetter" => r"\p{L}",
        "javaLetterOrDigit" => r"\p{L}\p{Nd}",
        "javaAlphabetic" => r"\p{Alphabetic}",
        "javaIdeographic" => r"\p{Ideographic}",
        "javaISOControl" => r"\x00-\x1F\x7F-\x{9F}",
        _ => return unsupported(format!("`\\p{{{name}}}`")),
    };
    Ok(items.to_owned())
}
