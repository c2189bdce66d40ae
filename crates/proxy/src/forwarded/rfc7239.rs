//! `Forwarded` (RFC 7239): an element for each hop, with who made the request
//! there (`for`), and the host and the scheme that it was made with.
//!
//! Of what came only `for` and `proto` are read: the host is the endpoint's to
//! read.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, header};

use super::x_forwarded::address_in;
use crate::edge::is_token_byte;

/// What one proxy says of the request that it got.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// All of it, as it came.
    text: &'a [u8],
    node: Option<Cow<'a, [u8]>>,
    proto: Option<Cow<'a, [u8]>>,
}

/// What came is no element.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

/// The commas of one element's quoted strings: beyond that it counts as malformed.
const MOST_COMMAS: usize = 16;

impl Element<'_> {
    /// Who made the request; nothing if that is hidden or not known.
    pub(super) fn address(&self) -> Option<IpAddr> {
        address_in(self.node.as_deref()?)
    }

    pub(super) fn proto(&self) -> Option<&[u8]> {
        self.proto.as_deref()
    }
}

/// All lines as one list (RFC 9110 section 5.3).
pub(super) fn joined(headers: &HeaderMap) -> Vec<u8> {
    let lines: Vec<&[u8]> = headers
        .get_all(header::FORWARDED)
        .iter()
        .map(|line| line.as_bytes().trim_ascii())
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(&b", "[..])
}

/// The elements of a list (section 4), read from its end, where our proxies write, up to one that is malformed: an open
/// quote of a stranger takes nothing from what stands behind it. What begins in the middle of a quoted string is no
/// element, since its first quote follows no `=` or is followed by more, so that both ways of reading find the same ones.
pub(super) fn read(list: &[u8]) -> Vec<Element<'_>> {
    let mut elements = Vec::new();
    let mut rest = Some(list);
    while let Some((element, before)) = rest.and_then(last) {
        elements.extend(element);
        rest = before;
    }
    elements.reverse();
    elements
}

/// The last element, nothing if it is empty (RFC 9110 section 5.6.1), and what stands before its comma.
fn last(list: &[u8]) -> Option<(Option<Element<'_>>, Option<&[u8]>)> {
    let commas = (0..list.len()).rev().filter(|at| list[*at] == b',');
    let mut begins = commas.map(Some).chain([None]).take(MOST_COMMAS);
    begins.find_map(|comma| match comma {
        Some(at) => Some((element(&list[at + 1..]).ok()?, Some(&list[..at]))),
        None => Some((element(list).ok()?, None)),
    })
}

/// One element. White space around `;` is let pass, and a node with a port that is not quoted, since many write them.
fn element(text: &[u8]) -> Result<Option<Element<'_>>, Malformed> {
    let text = text.trim_ascii();
    let mut element = Element {
        text,
        ..Element::default()
    };
    let mut is_empty = true;
    let mut rest = text;
    loop {
        if let Some(at) = rest.iter().position(|byte| *byte == b'=')
            && rest[..at].iter().copied().all(is_token_byte)
            && at > 0
        {
            let (value, behind) = value(&rest[at + 1..])?;
            element.set(&rest[..at], value)?;
            is_empty = false;
            rest = behind.trim_ascii_start();
        }
        match rest {
            [b';', behind @ ..] => rest = behind.trim_ascii_start(),
            [] => return Ok((!is_empty).then_some(element)),
            _ => return Err(Malformed),
        }
    }
}

impl<'a> Element<'a> {
    /// Takes a parameter; each may be there once.
    fn set(&mut self, name: &[u8], value: Cow<'a, [u8]>) -> Result<(), Malformed> {
        let known = [(&b"for"[..], &mut self.node), (b"proto", &mut self.proto)];
        for (known, slot) in known {
            if name.eq_ignore_ascii_case(known) {
                return match slot.replace(value) {
                    None => Ok(()),
                    Some(_) => Err(Malformed),
                };
            }
        }
        Ok(())
    }
}

/// A token or a quoted string, and what is behind it.
fn value(bytes: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Malformed> {
    if let [b'"', quoted @ ..] = bytes {
        return unquoted(quoted);
    }
    let is_part = |byte: &u8| is_token_byte(*byte) || b":[]".contains(byte);
    let end = bytes.iter().position(|byte| !is_part(byte));
    match bytes.split_at(end.unwrap_or(bytes.len())) {
        ([], _) => Err(Malformed),
        (value, behind) => Ok((Cow::Borrowed(value), behind)),
    }
}

/// The rest of a quoted string (RFC 9110 section 5.6.4).
fn unquoted(bytes: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Malformed> {
    let mut value = Cow::Borrowed(&bytes[..0]);
    let mut at = 0;
    loop {
        match bytes[at..] {
            [b'"', ..] => return Ok((value, &bytes[at + 1..])),
            [b'\\', escaped, ..] => {
                value.to_mut().push(escaped);
                at += 2;
            }
            [b'\\'] | [] => return Err(Malformed),
            [byte, ..] => {
                match &mut value {
                    Cow::Borrowed(value) => *value = &bytes[..at + 1],
                    Cow::Owned(value) => value.push(byte),
                }
                at += 1;
            }
        }
    }
}

/// The elements as one list again, without empty ones.
pub(super) fn list_of(elements: &[Element<'_>]) -> Vec<u8> {
    let texts: Vec<&[u8]> = elements.iter().map(|element| element.text).collect();
    texts.join(&b", "[..])
}

/// Writes an element behind those that are there. The address of a node that is
/// none is `unknown` (section 6.2).
pub(super) fn write(
    list: &mut Vec<u8>,
    node: Option<IpAddr>,
    facts: Option<(&str, Option<&HeaderValue>)>,
) {
    if !list.is_empty() {
        list.extend(b", ");
    }
    list.extend(b"for=");
    match node {
        Some(IpAddr::V4(address)) => list.extend(address.to_string().bytes()),
        Some(IpAddr::V6(address)) => list.extend(format!("\"[{address}]\"").bytes()),
        None => list.extend(b"unknown"),
    }
    let Some((scheme, host)) = facts else {
        return;
    };
    if let Some(host) = host {
        list.extend(b";host=");
        write_value(list, host.as_bytes());
    }
    list.extend(b";proto=");
    list.extend(scheme.bytes());
}

/// A value that is no token is quoted, such as a host with a port.
fn write_value(list: &mut Vec<u8>, value: &[u8]) {
    if !value.is_empty() && value.iter().copied().all(is_token_byte) {
        return list.extend(value);
    }
    list.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            list.push(b'\\');
        }
        list.push(*byte);
    }
    list.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &str) -> Vec<String> {
        let text = |value: Option<&[u8]>| match value {
            Some(value) => String::from_utf8_lossy(value).into_owned(),
            None => "-".to_owned(),
        };
        let elements = read(list.as_bytes()).into_iter();
        elements
            .map(|element| {
                let node = element.node.as_deref();
                format!("{} {}", text(node), text(element.proto()))
            })
            .collect()
    }

    #[test]
    fn elements_are_read_as_rfc_7239_writes_them() {
        type Case = (&'static str, &'static [&'static str]);
        let cases: [Case; 20] = [
            ("", &[]),
            (", ,", &[]),
            (
                "for=192.0.2.60;proto=http;by=203.0.113.43",
                &["192.0.2.60 http"],
            ),
            (
                "For=\"[2001:db8:cafe::17]:4711\"",
                &["[2001:db8:cafe::17]:4711 -"],
            ),
            (
                "for=192.0.2.43, for=198.51.100.17",
                &["192.0.2.43 -", "198.51.100.17 -"],
            ),
            ("for=unknown;host=a.example", &["unknown -"]),
            ("for=_hidden, for=_SEVKISEK", &["_hidden -", "_SEVKISEK -"]),
            ("host=\"a.example:8080\";PROTO=https", &["- https"]),
            ("secret=x;for=1.1.1.1;", &["1.1.1.1 -"]),
            (";;for=1.1.1.1;;proto=http", &["1.1.1.1 http"]),
            (
                "for=1.1.1.1 ; proto=http ,  for=2.2.2.2",
                &["1.1.1.1 http", "2.2.2.2 -"],
            ),
            // A comma and a semicolon in a quoted string are no others.
            ("host=\"a, for=b; \\\"c\\\\\";for=1.1.1.1", &["1.1.1.1 -"]),
            ("for=\"1.\\1.1.1\"", &["1.1.1.1 -"]),
            (
                "for=1.1.1.1:80, for=[2001:db8::1]",
                &["1.1.1.1:80 -", "[2001:db8::1] -"],
            ),
            (
                "host=\"a, for=6.6.6.6;x=\", by=\"z\", for=1.1.1.1",
                &["- -", "- -", "1.1.1.1 -"],
            ),
            ("host=\",, ,\";for=1.1.1.1", &["1.1.1.1 -"]),
            ("host=\"a, for=6.6.6.6;x=\\\"\"", &["- -"]),
            (
                "host=\"a, for=6.6.6.6\", for=1.1.1.1",
                &["- -", "1.1.1.1 -"],
            ),
            ("for=\"\"", &[" -"]),
            ("by=x", &["- -"]),
        ];
        for (list, expected) in cases {
            assert_eq!(texts(list), expected, "{list}");
        }
    }

    #[test]
    fn what_is_no_element_ends_the_list() {
        for malformed in [
            "for",
            "for=",
            "=1.1.1.1",
            "for =1.1.1.1",
            "for= 1.1.1.1",
            "for=1.1.1.1 proto=http",
            "for=1.1.1.1;for=2.2.2.2",
            "proto=http;PROTO=https",
            "for=\"1.1.1.1",
            "for=\"1.1.1.1\\",
            "for=\"1.1.1.1\"x",
            "nonsense",
            "for=1.1.1.1/24",
            "f(r=1",
            "\"",
        ] {
            for (before, behind) in [("", ""), ("for=9.9.9.9, ", ""), ("", ", ,")] {
                let list = format!("{before}{malformed}{behind}");
                assert_eq!(texts(&list), [""; 0], "{list}");
            }
            let list = format!("for=9.9.9.9, {malformed}, for=\"1.1.1.1\", host=\"a, b\"");
            assert_eq!(texts(&list), ["1.1.1.1 -", "- -"], "{list}");
        }
    }

    /// Each comma of a string may be where an element begins: looking for it must not take the square of the length.
    #[test]
    fn an_element_has_few_commas() {
        let string = |commas: usize| format!("for=1.1.1.1, host=\"{}\"", ",".repeat(commas));
        assert_eq!(texts(&string(MOST_COMMAS - 1)).len(), 2);
        assert_eq!(texts(&string(MOST_COMMAS)), [""; 0]);
        let began = std::time::Instant::now();
        assert_eq!(texts(&string(1 << 20)), [""; 0]);
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let node = |text: &str| text.parse::<IpAddr>().ok();
        let host = HeaderValue::from_static("[2001:db8::9]:8080");
        let mut list = Vec::new();
        write(&mut list, node("192.0.2.1"), None);
        write(&mut list, node("2001:db8::1"), Some(("https", Some(&host))));
        write(&mut list, None, Some(("http", None)));
        assert_eq!(
            String::from_utf8_lossy(&list),
            "for=192.0.2.1, for=\"[2001:db8::1]\";host=\"[2001:db8::9]:8080\";proto=https, for=unknown;proto=http"
        );
        let elements = read(&list);
        let addresses: Vec<_> = elements.iter().map(Element::address).collect();
        assert_eq!(addresses, [node("192.0.2.1"), node("2001:db8::1"), None]);
        assert_eq!(elements[1].proto(), Some(&b"https"[..]));
        assert_eq!(list_of(&elements), list);
    }
}
