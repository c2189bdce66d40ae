//! Replacements of matches, in Java's spelling.

/// What takes the place of a match; made by [`JavaRegex::replacement`](super::JavaRegex::replacement).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// What the group of this number captured; nothing if it took no part.
    Group(usize),
}

impl Replacement {
    /// Whether no match changes it: it names no group.
    pub fn is_constant(&self) -> bool {
        !self.0.iter().any(|piece| matches!(piece, Piece::Group(_)))
    }

    /// What it gives when every group is empty.
    pub fn shortest(&self) -> String {
        let mut text = String::new();
        self.expand(|_| None, &mut text);
        text
    }

    pub(super) fn parse(
        text: &str,
        groups: usize,
        number: impl Fn(&str) -> Option<usize>,
    ) -> Result<Replacement, String> {
        // As Spring's filters do before they hand it to Java.
        let text = text.replace("$\\", "$");
        let mut pieces = Pieces::default();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['\\', '$']) {
            pieces.text.push_str(&rest[..at]);
            let is_escape = rest.as_bytes()[at] == b'\\';
            rest = &rest[at + 1..];
            if is_escape {
                let escaped = rest.chars().next().ok_or("`\\` stands at the end")?;
                pieces.text.push(escaped);
                rest = &rest[escaped.len_utf8()..];
                continue;
            }
            let (group, after) = match rest.strip_prefix('{') {
                Some(rest) => named(rest, &number)?,
                None => numbered(rest, groups)?,
            };
            pieces.group(group);
            rest = after;
        }
        pieces.text.push_str(rest);
        Ok(Replacement(pieces.finish()))
    }

    /// Writes it, given what each group captured.
    pub(super) fn expand<'t>(&self, group: impl Fn(usize) -> Option<&'t str>, to: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => to.push_str(text),
                Piece::Group(number) => to.push_str(group(*number).unwrap_or_default()),
            }
        }
    }
}

/// Pieces, neighbouring texts joined.
#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    text: String,
}

impl Pieces {
    fn group(&mut self, number: usize) {
        self.flush();
        self.done.push(Piece::Group(number));
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.done.push(Piece::Text(text.into()));
        }
    }

    fn finish(mut self) -> Box<[Piece]> {
        self.flush();
        self.done.into()
    }
}

/// The group of `name}…`, and what follows.
fn named(rest: &str, number: impl Fn(&str) -> Option<usize>) -> Result<(usize, &str), String> {
    let (name, after) = rest.split_once('}').ok_or("`${` is not closed by `}`")?;
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_name {
        return Err(format!(
            "`${{{}}}` is not the name of a group",
            name.escape_debug()
        ));
    }
    let number = number(name).ok_or_else(|| format!("the expression has no group `{name}`"))?;
    Ok((number, after))
}

/// The group of `1…`, and what follows: as many digits as the expression has groups for, at least one.
fn numbered(rest: &str, groups: usize) -> Result<(usize, &str), String> {
    let mut number = None;
    let mut end = 0;
    for byte in rest.bytes() {
        if !byte.is_ascii_digit() {
            break;
        }
        let digit = usize::from(byte - b'0');
        let next = number.map_or(digit, |number: usize| number * 10 + digit);
        if next > groups {
            if number.is_none() {
                return Err(format!("the expression has no group {next}"));
            }
            break;
        }
        number = Some(next);
        end += 1;
    }
    let number = number.ok_or("`$` is followed neither by a number nor by `{name}`")?;
    Ok((number, &rest[end..]))
}
