//! Wherever a field is read, its lines are one list (RFC 9110 section 5.3). A proxy in front may split or join lines,
//! which must change nothing.
//!
//! Found on `Connection`: of 300 POSTs to an endpoint that said `x` in one line and `close` in the next, 150 were 502.

use std::sync::{Arc, Weak};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use pailou_config::{ForwardedHeader, ForwardedSettings};
use pailou_routing::Host;
use proptest::prelude::*;

use crate::connection::{Connection, Ends};
use crate::edge::Heading;
use crate::forwarded::Forwarded;
use crate::via::Via;
use crate::{framing, grpc_web, hops};

/// The fields that are lists, and elements of each that mean something.
const LISTS: [(&str, &[&str]); 11] = [
    (
        "connection",
        &["close", "keep-alive", "Upgrade", "x-own", "te", "host"],
    ),
    (
        "transfer-encoding",
        &["chunked", "Chunked", "identity", "gzip", ""],
    ),
    ("content-length", &["5", "05", "6", "x", ""]),
    ("te", &["trailers", "gzip", "trailers;q=1"]),
    ("upgrade", &["websocket", "h2c", "x/1"]),
    ("expect", &["100-continue", "100-Continue", "200-ok"]),
    (
        "x-forwarded-for",
        &["192.0.2.1", "10.0.0.2", "[2001:db8::1]:80", "unknown", ""],
    ),
    ("x-forwarded-proto", &["https", "http", "wss", "gopher", ""]),
    ("x-forwarded-host", &["a.example", "b.example:8080", "a/b"]),
    (
        "forwarded",
        &[
            "for=192.0.2.1;proto=https",
            "for=10.0.0.2",
            "for=\"[2001:db8::1]:80\";host=\"a, b\"",
            "for=_hidden;proto=wss",
            "nonsense",
            "",
        ],
    ),
    (
        "accept",
        &[
            "application/grpc-web-text",
            "application/grpc-web+proto",
            "*/*",
        ],
    ),
];

/// Fields by name, each the elements of its lines.
type Fields = Vec<(&'static str, Vec<Vec<&'static str>>)>;

fn a_list(
    (name, words): (&'static str, &'static [&'static str]),
) -> impl Strategy<Value = (&'static str, Vec<Vec<&'static str>>)> {
    let line = proptest::collection::vec(proptest::sample::select(words), 1..3);
    (Just(name), proptest::collection::vec(line, 0..4))
}

fn some_lists() -> impl Strategy<Value = Fields> {
    LISTS.map(a_list).into_iter().collect::<Vec<_>>()
}

/// The same fields with each list in one line.
fn joined(fields: &Fields) -> Fields {
    let join = |lines: &Vec<Vec<&'static str>>| match lines.is_empty() {
        true => Vec::new(),
        false => vec![lines.concat()],
    };
    fields
        .iter()
        .map(|(name, lines)| (*name, join(lines)))
        .collect()
}

/// The same fields with each element in a line of its own.
fn split(fields: &Fields) -> Fields {
    let split = |lines: &Vec<Vec<&'static str>>| {
        lines
            .concat()
            .into_iter()
            .map(|element| vec![element])
            .collect()
    };
    fields
        .iter()
        .map(|(name, lines)| (*name, split(lines)))
        .collect()
}

fn headers(fields: &Fields) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.append("x-own", HeaderValue::from_static("1"));
    headers.append(
        "content-type",
        HeaderValue::from_static("application/grpc-web"),
    );
    for (name, lines) in fields {
        for line in lines {
            let value = HeaderValue::try_from(line.join(", ")).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// What is left of the fields, each as one list.
fn left(headers: &HeaderMap) -> Vec<String> {
    let mut left: Vec<String> = headers
        .keys()
        .map(|name| {
            let lines = headers.get_all(name).iter();
            let lines = lines.map(|line| line.to_str().expect("ASCII").to_owned());
            format!("{name}: {}", lines.collect::<Vec<_>>().join(", "))
        })
        .collect();
    left.sort();
    left
}

/// All that is read of a request's lists, before and after the engine.
fn request(fields: &Fields) -> impl PartialEq + std::fmt::Debug + use<> {
    let lines = headers(fields);
    let mut text = b"POST / HTTP/1.1\r\nhost: a\r\n".to_vec();
    for (name, value) in &lines {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    text.extend(b"\r\n");
    let (heading, _) = Heading::take(&mut text);
    let heading = (heading.framing, heading.fault, heading.expects_continue);

    let upgrades = &["websocket".to_owned(), "x/1".to_owned()];
    let asked = hops::Asked {
        method: &Method::GET,
        version: Version::HTTP_11,
        has_body: false,
        upgrades,
    };
    let mut cleaned = lines.clone();
    let read = (
        hops::closes(&lines, Version::HTTP_11),
        hops::closes(&lines, Version::HTTP_10),
        hops::wants_trailers(&lines),
        hops::clean_request(&mut cleaned, asked),
    );
    let mut web = lines.clone();
    let text_form = grpc_web::Web::begin(&mut web).map(|(web, _)| format!("{web:?}"));
    let kinds = [
        ForwardedHeader::XForwarded,
        ForwardedHeader::Forwarded,
        ForwardedHeader::Both,
    ];
    let told = kinds.map(|header| {
        [false, true].map(|trusts| {
            let mut headers = cleaned.clone();
            let networks = trusts.then(|| "10.0.0.0/8".parse().expect("a network"));
            let settings = ForwardedSettings {
                trusted_proxies: networks.into_iter().collect(),
                header,
                ..ForwardedSettings::default()
            };
            let ends = Ends::of("10.0.0.7".parse().expect("an address"));
            let connection = Connection::new(0, ends, Arc::default(), None, Weak::new());
            let host = HeaderValue::from_static("shop.example");
            let parsed = Host::parse(host.as_bytes()).expect("a host");
            let told =
                Forwarded::new(&settings).apply(&mut headers, &connection, Some((&parsed, &host)));
            (told, left(&headers))
        })
    });
    // What is refused is not looked at further.
    let told = read.3.is_ok().then_some((told, left(&cleaned)));
    (heading, read, text_form, told)
}

/// All that is read of an answer's lists.
fn answer(fields: &Fields) -> impl PartialEq + std::fmt::Debug + use<> {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.headers = headers(fields);
    let closes = hops::closes(&head.headers, Version::HTTP_11);
    let settled = framing::settle(&mut head, &Method::GET);
    hops::clean_response(&mut head.headers, head.status);
    // What cannot be understood is not passed on.
    let left = settled.is_ok().then(|| left(&head.headers));
    (closes, settled, left)
}

proptest! {
    #[test]
    fn splitting_and_joining_lines_changes_nothing_of_a_request(fields in some_lists()) {
        prop_assert_eq!(request(&fields), request(&joined(&fields)));
        prop_assert_eq!(request(&fields), request(&split(&fields)));
    }

    #[test]
    fn splitting_and_joining_lines_changes_nothing_of_an_answer(fields in some_lists()) {
        prop_assert_eq!(answer(&fields), answer(&joined(&fields)));
        prop_assert_eq!(answer(&fields), answer(&split(&fields)));
    }

    #[test]
    fn a_loop_is_found_in_any_line(before in 0..3_usize, after in 0..3_usize, joins in any::<bool>()) {
        let via = Via::new();
        let mut headers = HeaderMap::new();
        let other = HeaderValue::from_static("1.1 cdn");
        (0..before).for_each(|_| { headers.append("via", other.clone()); });
        prop_assert!(via.mark(&mut headers, Version::HTTP_11).is_ok());
        (0..after).for_each(|_| { headers.append("via", other.clone()); });
        if joins {
            let lines: Vec<&[u8]> = headers.get_all("via").iter().map(HeaderValue::as_bytes).collect();
            let line = HeaderValue::from_bytes(&lines.join(&b", "[..])).expect("a value");
            headers.insert("via", line);
        }
        prop_assert!(via.mark(&mut headers, Version::HTTP_11).is_err());
    }
}
