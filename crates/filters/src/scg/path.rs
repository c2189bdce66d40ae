//! Paths that filters write: what is theirs in it is encoded as Spring does.

use pailou_config::ScgArg;

use crate::{RequestHead, Scope, escapes::push};

use super::template::{Piece, Template};

/// Whether a path may have the byte as it is (RFC 3986: `pchar` and `/`).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}

/// Encodes a text of the document, also its percent signs, as Spring's
/// `UriTemplate` does.
pub(super) fn encode_text(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        push(&mut encoded, byte, is_plain(byte));
    }
    encoded
}

/// Encodes the value of a variable, which was decoded. A slash or a semicolon in
/// it was encoded when it came, and stays so: Spring makes a separator of it.
pub(super) fn encode_value(value: &str, to: &mut String) {
    for byte in value.bytes() {
        push(to, byte, is_plain(byte) && byte != b'/' && byte != b';');
    }
}

/// Reads a template of a path, with its texts encoded. What does not begin with
/// `/` is 500 in Spring: a fault.
pub(super) fn template(arg: &ScgArg<'_>, scope: &Scope<'_>) -> Option<Template> {
    template_of(arg.text(), arg, scope)
}

/// The same for a text that is a part of `arg`.
pub(super) fn template_of(text: &str, arg: &ScgArg<'_>, scope: &Scope<'_>) -> Option<Template> {
    if !text.starts_with('/') {
        arg.fault_expected(
            "the path would not begin with `/`",
            "a path such as `/v2/{id}`",
        );
        return None;
    }
    if let Some(cut) = text.find(['?', '#']) {
        arg.warn(format!(
            "what follows the path is ignored, as by Spring: `{}`",
            text[cut..].escape_debug()
        ));
    }
    let template = Template::read_text(text, arg, scope)?;
    Some(cut(template).map_texts(encode_text))
}

/// The template as far as its path goes.
fn cut(template: Template) -> Template {
    let mut is_over = false;
    let pieces = template.pieces().iter().map_while(|piece| {
        if is_over {
            return None;
        }
        let Piece::Text(text) = piece else {
            return Some(piece.clone());
        };
        let end = text.find(['?', '#']);
        is_over = end.is_some();
        Some(Piece::Text(text[..end.unwrap_or(text.len())].to_owned()))
    });
    Template::of(pieces.collect())
}

/// Puts a path that a filter has made into the head. A `?` in it begins a query,
/// which goes in front of the one that there is, as in Spring.
pub(super) fn put(head: &mut RequestHead<'_>, made: &str) {
    let (path, query) = match made.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (made, None),
    };
    if let Some(query) = query {
        let all = match &head.query {
            Some(rest) => format!("{query}?{rest}"),
            None => query.to_owned(),
        };
        head.query = Some(all.into());
    }
    head.path = settled(path).into();
    head.effects.has_own_path = true;
}

/// A path that begins with a slash, has no doubled one, and nothing in it that a
/// path cannot have. Dot segments are not looked for.
pub(super) fn settled(path: &str) -> String {
    let mut settled = String::with_capacity(path.len() + 1);
    settled.push('/');
    let bytes = path.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'/' if settled.ends_with('/') => {}
            b'%' => {
                let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
                let is_escape = digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
                push(&mut settled, b'%', is_escape);
            }
            byte => push(&mut settled, *byte, is_plain(*byte)),
        }
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_was_made_is_settled() {
        for (made, expected) in [
            ("/a/b", "/a/b"),
            ("", "/"),
            ("a/b", "/a/b"),
            ("//evil.test/x", "/evil.test/x"),
            ("/a///b/", "/a/b/"),
            ("/a b", "/a%20b"),
            ("/中/x", "/%E4%B8%AD/x"),
            ("/%E4%B8%AD", "/%E4%B8%AD"),
            ("/%zz/%4", "/%25zz/%254"),
            ("/{x}", "/%7Bx%7D"),
            ("/a;v=1", "/a;v=1"),
        ] {
            assert_eq!(settled(made), expected, "{made}");
        }
    }

    #[test]
    fn a_value_never_becomes_a_separator() {
        let mut encoded = String::new();
        encode_value("a/b;c?d%2F 中+", &mut encoded);
        assert_eq!(encoded, "a%2Fb%3Bc%3Fd%252F%20%E4%B8%AD+");
    }
}
