use std::sync::{Arc, Weak};

use super::*;
use crate::connection::Ends;

/// The head that the upstream gets, sorted, and the client that is logged.
fn forwarded(
    trusted: &str,
    peer: &str,
    host: &str,
    sent: &[(&str, &str)],
) -> (Vec<String>, String) {
    forwarded_by(ForwardedHeader::XForwarded, trusted, peer, host, sent)
}

fn forwarded_by(
    header: ForwardedHeader,
    trusted: &str,
    peer: &str,
    host: &str,
    sent: &[(&str, &str)],
) -> (Vec<String>, String) {
    let mut headers = HeaderMap::new();
    for (name, value) in sent {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    let networks = trusted.split_whitespace();
    let settings = ForwardedSettings {
        trusted_proxies: networks
            .map(|network| network.parse().expect("CIDR"))
            .collect(),
        header,
        ..ForwardedSettings::default()
    };
    let ends = Ends::of(peer.parse().expect("address"));
    let connection = Connection::new(0, ends, Arc::default(), None, Weak::new());
    let told = Forwarded::new(&settings).apply(
        &mut headers,
        &connection,
        Some((
            &Host::parse(host.as_bytes()).expect("host"),
            &HeaderValue::from_str(host).expect("value"),
        )),
    );
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
        .collect();
    lines.sort();
    (lines, told.client.to_string())
}

#[test]
fn claims_of_a_stranger_are_dropped_and_written_anew() {
    let claims = [
        ("X-Forwarded-For", "1.1.1.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Prefix", "/admin"),
        ("X-Forwarded-Anything", "x"),
        ("Forwarded", "for=1.1.1.1"),
        ("X-Real-IP", "1.1.1.1"),
        ("x-env", "kept"),
    ];
    let (lines, client) = forwarded("10.0.0.0/8", "192.0.2.7", "shop.example:8080", &claims);
    assert_eq!(
        lines,
        [
            "x-env: kept",
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-host: shop.example:8080",
            "x-forwarded-port: 8080",
            "x-forwarded-proto: http",
        ]
    );
    assert_eq!(client, "192.0.2.7");
}

#[test]
fn a_trusted_peer_is_believed_and_appended() {
    let sent = [
        ("X-Forwarded-For", "1.1.1.1, 203.0.113.9"),
        ("X-Forwarded-For", "10.0.0.2"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "public.example"),
        ("X-Real-IP", "203.0.113.9"),
    ];
    let (lines, client) = forwarded("10.0.0.0/8", "10.0.0.1", "inner.example", &sent);
    assert_eq!(
        lines,
        [
            "x-forwarded-for: 1.1.1.1, 203.0.113.9, 10.0.0.2, 10.0.0.1",
            "x-forwarded-host: public.example",
            "x-forwarded-port: 443",
            "x-forwarded-proto: https",
            "x-real-ip: 203.0.113.9",
        ]
    );
    assert_eq!(
        client, "203.0.113.9",
        "the first from the right that is not ours"
    );
}

#[test]
fn the_client_is_found_in_what_proxies_write() {
    let cases = [
        ("", "10.0.0.1"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("unknown", "10.0.0.1"),
        ("203.0.113.9, , ", "203.0.113.9"),
        ("203.0.113.9, nonsense", "10.0.0.1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ];
    for (chain, expected) in cases {
        let (_, client) = forwarded(
            "10.0.0.0/8",
            "10.0.0.1",
            "a.example",
            &[("X-Forwarded-For", chain)],
        );
        assert_eq!(client, expected, "{chain}");
    }
}

#[test]
fn an_ipv4_peer_on_an_ipv6_listener_is_an_ipv4_peer() {
    let (lines, client) = forwarded(
        "10.0.0.0/8",
        "::ffff:10.0.0.1",
        "a.example",
        &[("X-Forwarded-For", "1.1.1.1")],
    );
    assert_eq!(lines[0], "x-forwarded-for: 1.1.1.1, 10.0.0.1");
    assert_eq!(client, "1.1.1.1");
}

#[test]
fn scheme_host_and_port_of_a_trusted_peer_agree() {
    let proto = |value| ("X-Forwarded-Proto", value);
    let given = |value| ("X-Forwarded-Host", value);
    let port = |value| ("X-Forwarded-Port", value);
    type Sent<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Sent<'_>, [&str; 3]); 11] = [
        (&[], ["inner:8080", "8080", "http"]),
        (&[proto("https")], ["inner:8080", "8080", "https"]),
        (
            &[proto("https"), given("a.example")],
            ["a.example", "443", "https"],
        ),
        (&[given("a.example")], ["a.example", "80", "http"]),
        (&[given("a.example:81")], ["a.example:81", "81", "http"]),
        (
            &[proto("https"), given("a.example"), port("8443")],
            ["a.example", "8443", "https"],
        ),
        (
            &[proto("wss"), given("a.example")],
            ["a.example", "443", "wss"],
        ),
        (
            &[proto("HTTPS"), proto("http"), given("a.example")],
            ["a.example", "443", "https"],
        ),
        (
            &[proto(" , https, http"), given("a.example, b.example")],
            ["a.example", "443", "https"],
        ),
        (
            &[proto("gopher"), given("a/b")],
            ["inner:8080", "8080", "http"],
        ),
        (&[port("0"), port("81")], ["inner:8080", "8080", "http"]),
    ];
    for (sent, [host, port, proto]) in cases {
        let (lines, _) = forwarded("10.0.0.0/8", "10.0.0.1", "inner:8080", sent);
        let expected = [
            "x-forwarded-for: 10.0.0.1".to_owned(),
            format!("x-forwarded-host: {host}"),
            format!("x-forwarded-port: {port}"),
            format!("x-forwarded-proto: {proto}"),
        ];
        assert_eq!(lines, expected, "{sent:?}");
    }
}

/// What is left of `Forwarded` and the client, where it alone is written.
fn standard(peer: &str, sent: &[(&str, &str)]) -> (String, String) {
    let (lines, client) = forwarded_by(
        ForwardedHeader::Forwarded,
        "10.0.0.0/8 2001:db8:ffff::/48",
        peer,
        "inner:8080",
        sent,
    );
    match &lines[..] {
        [line] => (line.replacen("forwarded: ", "", 1), client),
        lines => panic!("{lines:?}"),
    }
}

const OURS: &str = "for=10.0.0.1;host=\"inner:8080\";proto=http";

#[test]
fn a_strangers_forwarded_is_written_anew() {
    for sent in ["for=1.1.1.1;proto=https", "for=\"", ""] {
        let (line, client) = standard(
            "192.0.2.7",
            &[("Forwarded", sent), ("X-Forwarded-For", "1.1.1.1")],
        );
        assert_eq!(
            line, "for=192.0.2.7;host=\"inner:8080\";proto=http",
            "{sent}"
        );
        assert_eq!(client, "192.0.2.7");
    }
    let (line, _) = standard("2001:db8::7", &[]);
    assert_eq!(line, "for=\"[2001:db8::7]\";host=\"inner:8080\";proto=http");
    let (line, client) = standard("::ffff:192.0.2.7", &[]);
    assert!(line.starts_with("for=192.0.2.7;"), "{line}");
    assert_eq!(client, "192.0.2.7");
}

#[test]
fn the_client_is_found_in_forwarded() {
    let cases = [
        ("for=203.0.113.9", "203.0.113.9"),
        ("for=\"203.0.113.9:4711\"", "203.0.113.9"),
        ("for=\"[2001:db8::9]:4711\"", "2001:db8::9"),
        (
            "for=\"[2001:db8::9]\", for=\"[2001:db8:ffff::1]\"",
            "2001:db8::9",
        ),
        // What is in front of the client is its own word.
        ("for=1.1.1.1, for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
        ("for=1.1.1.1, for=unknown, for=10.0.0.2", "10.0.0.2"),
        ("for=1.1.1.1, for=_hidden", "10.0.0.1"),
        ("for=1.1.1.1, proto=https", "10.0.0.1"),
        ("for=10.0.0.3, for=10.0.0.2", "10.0.0.3"),
        (", ,", "10.0.0.1"),
        (", for=203.0.113.9; ,,by=x ,", "10.0.0.1"),
    ];
    for (sent, expected) in cases {
        let (line, client) = standard("10.0.0.1", &[("Forwarded", sent)]);
        assert_eq!(client, expected, "{sent}");
        let expected = match sent {
            ", ," => OURS.to_owned(),
            ", for=203.0.113.9; ,,by=x ," => format!("for=203.0.113.9;, by=x, {OURS}"),
            sent => format!("{sent}, {OURS}"),
        };
        assert_eq!(line, expected, "what came is kept");
    }
}

#[test]
fn a_malformed_forwarded_is_nobodys_word() {
    for sent in [
        "for=\"203.0.113.9",
        "for=203.0.113.9, nonsense",
        "for=1.1.1.1;for=2.2.2.2",
        "for",
    ] {
        let found = standard("10.0.0.1", &[("Forwarded", sent)]);
        assert_eq!(found, (OURS.to_owned(), "10.0.0.1".to_owned()), "{sent}");
    }
}

/// One open quote of a stranger hid everybody from whoever came behind it.
#[test]
fn what_is_malformed_goes_and_what_our_proxies_wrote_behind_it_stays() {
    for (sent, kept) in [
        ("for=\", for=203.0.113.9", "for=203.0.113.9"),
        (
            "for=1.1.1.1;for=2.2.2.2, for=203.0.113.9;host=\"a, b\", for=10.0.0.2",
            "for=203.0.113.9;host=\"a, b\", for=10.0.0.2",
        ),
    ] {
        let found = standard("10.0.0.1", &[("Forwarded", sent)]);
        let expected = (format!("{kept}, {OURS}"), "203.0.113.9".to_owned());
        assert_eq!(found, expected, "{sent}");
        // However it is split into lines.
        let (first, second) = sent.split_once(", ").expect("a comma");
        let found = standard("10.0.0.1", &[("Forwarded", first), ("Forwarded", second)]);
        assert_eq!(found, expected, "{sent}");
    }
}

#[test]
fn both_say_the_same_by_what_x_forwarded_says() {
    let both = |peer: &str, sent: &[(&str, &str)]| {
        let network = "10.0.0.0/8";
        let (lines, client) = forwarded_by(ForwardedHeader::Both, network, peer, "inner", sent);
        let line = lines[0].strip_prefix("forwarded: ").expect("a list");
        assert_eq!(lines.len(), 5, "{lines:?}");
        (line.to_owned(), client)
    };
    let lie = ("Forwarded", "for=9.9.9.9;proto=https");
    let (line, client) = both("192.0.2.7", &[lie, ("X-Forwarded-For", "9.9.9.9")]);
    assert_eq!(line, "for=192.0.2.7;host=inner;proto=http");
    assert_eq!(client, "192.0.2.7");
    let (line, client) = both(
        "10.0.0.1",
        &[
            lie,
            ("X-Forwarded-For", "1.1.1.1, nonsense, [2001:db8::9]:4711"),
            ("X-Forwarded-For", "10.0.0.2"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "public.example:8443"),
        ],
    );
    assert_eq!(
        line,
        "for=1.1.1.1, for=unknown, for=\"[2001:db8::9]\";host=\"public.example:8443\";proto=https, \
         for=10.0.0.2, for=10.0.0.1;host=inner;proto=http"
    );
    assert_eq!(client, "2001:db8::9");
    let (line, _) = both(
        "10.0.0.1",
        &[
            ("X-Forwarded-For", "unknown"),
            ("X-Forwarded-Proto", "https"),
        ],
    );
    assert_eq!(line, "for=unknown, for=10.0.0.1;host=inner;proto=https");
}

/// The scheme, which no header of the answer tells.
#[test]
fn the_scheme_is_the_one_of_the_clients_element() {
    for (sent, expected) in [
        ("for=203.0.113.9;proto=https", Scheme::Https),
        ("for=203.0.113.9;proto=WSS", Scheme::Https),
        (
            "for=1.1.1.1;proto=https, for=203.0.113.9;proto=http",
            Scheme::Http,
        ),
        (
            "for=1.1.1.1;proto=http, for=203.0.113.9;proto=https, for=10.0.0.2;proto=http",
            Scheme::Https,
        ),
        ("for=203.0.113.9, for=10.0.0.2;proto=https", Scheme::Http),
        (
            "for=1.1.1.1;proto=http, for=_hidden;proto=https, for=10.0.0.2;proto=http",
            Scheme::Https,
        ),
        ("proto=https", Scheme::Https),
        ("for=203.0.113.9;proto=gopher", Scheme::Http),
        ("for=203.0.113.9;proto=https, nonsense", Scheme::Http),
        ("nonsense, for=203.0.113.9;proto=https", Scheme::Https),
    ] {
        let settings = ForwardedSettings {
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("CIDR")],
            header: ForwardedHeader::Forwarded,
            ..ForwardedSettings::default()
        };
        let mut headers = HeaderMap::new();
        headers.append("forwarded", HeaderValue::from_static(sent));
        let ends = Ends::of("10.0.0.1".parse().expect("address"));
        let connection = Connection::new(0, ends, Arc::default(), None, Weak::new());
        let told = Forwarded::new(&settings).apply(&mut headers, &connection, None);
        assert_eq!(told.scheme, expected, "{sent}");
    }
}
