//! Paths in their normal form: the rules of [`Target`](crate::Target), which
//! patterns follow too.

use std::borrow::Cow;

use crate::target::TargetError;

/// Brings a path that begins with `/` into its normal form.
///
/// Borrows when it already is.
pub(crate) fn normalise(raw: &str) -> Result<Cow<'_, str>, TargetError> {
    if !raw.starts_with('/') {
        return Err(TargetError::Form);
    }
    if is_normal(raw.as_bytes()) {
        Ok(Cow::Borrowed(raw))
    } else {
        rebuild(raw.as_bytes()).map(Cow::Owned)
    }
}

/// The path without matrix parameters, or `None` when it has none.
///
/// `path` is in normal form, so that no segment but the last becomes empty.
pub(crate) fn without_parameters(path: &str) -> Option<String> {
    if !path.contains(';') {
        return None;
    }
    let mut bare = String::with_capacity(path.len());
    for segment in path[1..].split('/') {
        bare.push('/');
        bare.push_str(segment.split(';').next().unwrap_or_default());
    }
    Some(bare)
}

/// What one byte of a path asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Stands for itself: unreserved, sub-delimiters but `;`, `:`, `@`.
    Plain,
    Slash,
    Dot,
    Percent,
    Semicolon,
    /// Not allowed raw in a path (RFC 3986), yet without a second meaning:
    /// encoded.
    Encode,
    Refuse(TargetError),
}

const fn kind(byte: u8) -> Kind {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => Kind::Plain,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => {
            Kind::Plain
        }
        b'/' => Kind::Slash,
        b'.' => Kind::Dot,
        b'%' => Kind::Percent,
        b';' => Kind::Semicolon,
        b'#' => Kind::Refuse(TargetError::Fragment),
        b'\\' => Kind::Refuse(TargetError::Backslash),
        0..=b' ' | 0x7F => Kind::Refuse(TargetError::Control),
        _ => Kind::Encode,
    }
}

static KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = kind(byte as u8);
        byte += 1;
    }
    kinds
};

/// Whether [`rebuild`] would give the same path back. Says no rather than
/// explain: the rebuild finds the reason.
fn is_normal(path: &[u8]) -> bool {
    let mut at = 0;
    let mut after_slash = false;
    while let Some(&byte) = path.get(at) {
        let mut width = 1;
        match KINDS[usize::from(byte)] {
            Kind::Plain => {}
            Kind::Slash if !after_slash => {
                after_slash = true;
                at += 1;
                continue;
            }
            Kind::Dot if !after_slash || !is_dot_segment(&path[at..]) => {}
            Kind::Semicolon if !after_slash || is_last_segment(&path[at..]) => {}
            Kind::Percent => match escape(&path[at..]) {
                Ok(Escape {
                    width: escaped,
                    is_normal: true,
                    ..
                }) => width = escaped,
                _ => return false,
            },
            _ => return false,
        }
        after_slash = false;
        at += width;
    }
    true
}

/// Whether what follows a slash is a segment that begins as a dot segment
/// does: dots, then the end, a slash or a parameter.
fn is_dot_segment(rest: &[u8]) -> bool {
    let dots = rest.iter().take_while(|&&byte| byte == b'.').count();
    // An escape after the dots may be a third dot or `%3B`: the rebuild looks.
    dots <= 2 && matches!(rest.get(dots), None | Some(b'/' | b';' | b'%'))
}

fn is_last_segment(rest: &[u8]) -> bool {
    !rest.contains(&b'/')
}

/// Builds the normal form, segment by segment.
fn rebuild(raw: &[u8]) -> Result<String, TargetError> {
    let mut path = String::with_capacity(raw.len() + 16);
    let mut segments = raw
        .split(|&byte| byte == b'/')
        .filter(|segment| !segment.is_empty())
        .peekable();
    let mut ends_in_slash = raw.last() == Some(&b'/');
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let start = path.len();
        path.push('/');
        push_segment(&mut path, segment)?;
        let written = &path[start + 1..];
        match written {
            "." | ".." => {
                let climbs = written == "..";
                path.truncate(start);
                if climbs {
                    path.truncate(path.rfind('/').ok_or(TargetError::AboveRoot)?);
                }
                // RFC 3986, 5.2.4: a dot segment at the end leaves its slash.
                ends_in_slash |= is_last;
            }
            _ if has_dot_parameters(written) => return Err(TargetError::DotParameters),
            _ if has_hidden_dots(written) => return Err(TargetError::EncodedSlash),
            // `/;v=1/admin` is `//admin` to a server that cuts parameters, and
            // so `/admin`. At the end (`/app/;jsessionid=1`) there is no doubt.
            _ if written.starts_with(';') && (!is_last || ends_in_slash) => {
                return Err(TargetError::OnlyParameters);
            }
            _ => {}
        }
    }
    if ends_in_slash || path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

/// Writes one segment: escapes in their normal spelling, the rest encoded
/// where it has to be.
fn push_segment(path: &mut String, segment: &[u8]) -> Result<(), TargetError> {
    let mut at = 0;
    while let Some(&byte) = segment.get(at) {
        let mut width = 1;
        match KINDS[usize::from(byte)] {
            Kind::Plain | Kind::Dot | Kind::Semicolon | Kind::Slash => path.push(char::from(byte)),
            Kind::Encode => push_escape(path, byte),
            Kind::Refuse(error) => return Err(error),
            Kind::Percent => {
                let escape = escape(&segment[at..])?;
                width = escape.width;
                if is_unreserved(escape.first) {
                    path.push(char::from(escape.first));
                } else {
                    for digits in segment[at..at + width].chunks(3) {
                        path.push('%');
                        path.extend(
                            digits[1..]
                                .iter()
                                .map(|digit| char::from(digit.to_ascii_uppercase())),
                        );
                    }
                }
            }
        }
        at += width;
    }
    Ok(())
}

fn push_escape(path: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    path.push('%');
    path.push(char::from(HEX[usize::from(byte >> 4)]));
    path.push(char::from(HEX[usize::from(byte & 15)]));
}

/// `..%2Fadmin`: a server that takes the encoded slash for a separator climbs.
fn has_hidden_dots(segment: &str) -> bool {
    segment.contains("%2F")
        && segment.split("%2F").any(|part| {
            let name = part.split(';').next().unwrap_or_default();
            name == "." || name == ".." || has_dot_parameters(part)
        })
}

/// `..;`, `.;v=1`, and the same with an encoded semicolon, which servers that
/// decode early would cut at.
fn has_dot_parameters(segment: &str) -> bool {
    let rest = segment.trim_start_matches('.');
    let dots = segment.len() - rest.len();
    (dots == 1 || dots == 2) && (rest.starts_with(';') || rest.starts_with("%3B"))
}

/// One character written with percent escapes.
struct Escape {
    /// Its first decoded byte: the character itself when it is ASCII.
    first: u8,
    /// How many bytes of the path it takes: three per decoded byte.
    width: usize,
    /// Whether it is needed and in upper case.
    is_normal: bool,
}

/// Reads the escapes of one character; `rest` begins with `%`.
fn escape(rest: &[u8]) -> Result<Escape, TargetError> {
    let first = escaped_byte(rest)?;
    let length = match first {
        b'/' => 1,
        b'\\' => return Err(TargetError::EncodedBackslash),
        0..0x20 | 0x7F => return Err(TargetError::EncodedControl),
        0x20..0x7F => 1,
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        // Continuation bytes, and the first bytes of overlong forms.
        _ => return Err(TargetError::NotUtf8),
    };
    let mut character = [first, 0, 0, 0];
    for (index, byte) in character.iter_mut().enumerate().take(length).skip(1) {
        let rest = rest.get(index * 3..).unwrap_or_default();
        if rest.first() != Some(&b'%') {
            return Err(TargetError::NotUtf8);
        }
        *byte = escaped_byte(rest)?;
    }
    // The rest of the overlong forms, and surrogates.
    std::str::from_utf8(&character[..length]).map_err(|_| TargetError::NotUtf8)?;
    let width = length * 3;
    let is_upper = !rest[..width].iter().any(u8::is_ascii_lowercase);
    Ok(Escape {
        first,
        width,
        // An encoded slash has to be looked at with what is around it.
        is_normal: is_upper && !is_unreserved(first) && first != b'/',
    })
}

fn escaped_byte(rest: &[u8]) -> Result<u8, TargetError> {
    let digit = |at: usize| rest.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    match (digit(1), digit(2)) {
        (Some(high), Some(low)) => Ok((high * 16 + low) as u8),
        _ if matches!(rest.get(1), Some(b'u' | b'U')) => Err(TargetError::PercentU),
        _ => Err(TargetError::Percent),
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
