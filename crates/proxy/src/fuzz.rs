//! What clients send, as nobody thought of it: heads, chunks, headers of the PROXY protocol, and what proxies
//! say of clients.

use std::net::IpAddr;
use std::sync::{Arc, Weak};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pailou_config::{ForwardedHeader, ForwardedSettings};
use pailou_fuzz::Fuzz;
use pailou_routing::Host;

use crate::connection::{Connection, Ends};
use crate::edge::{ChunkScan, Chunks, Framing, Head, HeadScan, Heading};
use crate::forwarded::Forwarded;
use crate::proxy_header::{self, Found};

/// How a client's bytes may arrive.
const PIECES: [usize; 4] = [1, 2, 7, usize::MAX];

const HEADS: [&str; 8] = [
    "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST /a?<b> HTTP/1.1\r\nHost: a\r\nContent-Length: 03\r\nExpect: 100-Continue\r\ncontent-length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n0\r\n\r\n",
    "\r\n\r\nGET http://a/ HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\n folded: b\r\n\tc\r\n\r\n",
    "PUT / HTTP/1.1\r\ncontent-length: 5, 5\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nhost:\r\n\r\n",
];

const WORDS: [&str; 20] = [
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    ": ",
    "Content-Length: 0\r\n",
    "content-length: +1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\r\n",
    "chunked",
    "Expect: 100-continue\r\n",
    " HTTP/1.1",
    " HTTP/1.0",
    "\0",
    "\x0b",
    "0",
    "18446744073709551615",
    ",",
    ";",
    "\u{a0}",
];

/// How a head ends when it comes in pieces of this size.
fn scan_head(bytes: &[u8], size: usize) -> (Head, usize) {
    let mut scan = HeadScan::default();
    let mut before = 0;
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        match scan.scan(piece) {
            Head::Open => before += piece.len(),
            Head::Ended(at) => return (Head::Ended(before + at), scan.fields()),
            Head::Malformed => return (Head::Malformed, 0),
        }
    }
    (Head::Open, 0)
}

#[test]
fn fuzz_head() {
    Fuzz::new("head").seeds(HEADS).words(WORDS).run(|bytes| {
        let (found, fields) = scan_head(bytes, usize::MAX);
        for size in PIECES {
            assert_eq!(
                scan_head(bytes, size),
                (found, fields),
                "in pieces of {size}"
            );
        }
        let Head::Ended(end) = found else {
            return (found == Head::Open, 0, None, None);
        };
        let head = &bytes[..end];
        assert!(head.ends_with(b"\r\n\r\n"));
        let begin = head.iter().position(|byte| !b"\r\n".contains(byte));
        let lines = &head[begin.expect("a line")..];
        assert!(memchr::memchr_iter(b'\n', lines).all(|at| at > 0 && lines[at - 1] == b'\r'));
        let mut left = head.to_vec();
        let (heading, length) = Heading::take(&mut left);
        left.truncate(length);
        assert_eq!(heading.bytes, end);
        // The engine gets a head, and one that means the same to a second reader.
        assert_eq!(scan_head(&left, usize::MAX).0, Head::Ended(length));
        let mut again = left.clone();
        let (second, second_length) = Heading::take(&mut again);
        assert_eq!(second_length, length, "nothing is left to take");
        assert!(!second.expects_continue);
        if heading.fault.is_none() {
            assert_eq!((second.framing, second.fault), (heading.framing, None));
            assert_eq!(&*second.target, b"/");
            assert_framed_once(&left, heading.framing);
        }
        let fault = heading.fault.map(|fault| fault.answer().cause);
        let length = match heading.framing {
            Framing::Chunked => None,
            Framing::Length(length) => Some(length.min(2)),
        };
        (true, fields.min(8), length, fault)
    });
}

/// The fields that say where the body ends, as a reader finds them who knows nothing but lines and colons.
fn assert_framed_once(head: &[u8], framing: Framing) {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let (_, text) = text
        .trim_start_matches(['\r', '\n'])
        .split_once("\r\n")
        .expect("a line");
    let of = |name: &str| -> Vec<String> {
        let lines = text.split("\r\n").filter_map(|line| line.split_once(':'));
        lines
            .filter(|(found, _)| *found == name)
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    };
    let (lengths, codings) = (of("content-length"), of("transfer-encoding"));
    match framing {
        Framing::Chunked => assert!(lengths.is_empty() && codings == ["chunked"], "{text}"),
        Framing::Length(0) if lengths.is_empty() => assert!(codings.is_empty(), "{text}"),
        Framing::Length(length) => {
            assert_eq!(lengths, [length.to_string()], "{text}");
            assert!(codings.is_empty(), "{text}");
        }
    }
}

fn scan_chunks(bytes: &[u8], size: usize) -> Chunks {
    let mut scan = ChunkScan::default();
    let mut before = 0;
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        match scan.scan(piece) {
            Chunks::Open => before += piece.len(),
            Chunks::Ended(at) => return Chunks::Ended(before + at),
            Chunks::Malformed => return Chunks::Malformed,
        }
    }
    Chunks::Open
}

/// Where a chunked body ends, by the grammar of RFC 9112 section 7.1 and nothing else.
fn end_of_chunks(mut bytes: &[u8]) -> Option<usize> {
    let all = bytes.len();
    let line = |bytes: &[u8]| bytes.windows(2).position(|two| two == b"\r\n");
    loop {
        let end = line(bytes)?;
        let digits = bytes[..end]
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit());
        let digits = std::str::from_utf8(&bytes[..digits.count()]).ok()?;
        let size = usize::from_str_radix(digits, 16).ok()?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            break;
        }
        let after = bytes.get(size..)?;
        bytes = after.strip_prefix(b"\r\n")?;
    }
    loop {
        let end = line(bytes)?;
        bytes = &bytes[end + 2..];
        if end == 0 {
            return Some(all - bytes.len());
        }
    }
}

#[test]
fn fuzz_chunks() {
    let seeds = [
        "0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\nGET /",
        "3;a=b;c=\"d e\"\r\nabc\r\n0 ;c\r\n\r\n",
        "A\r\n0123456789\r\n000\r\na: b\r\nc: d\r\n\r\n",
        "ffffffffffffffff\r\nabc",
    ];
    let words = [
        "\r\n",
        "0\r\n",
        ";",
        "\r\n\r\n",
        "fffffffffffffff",
        "1\r\na\r\n",
        " ",
    ];
    Fuzz::new("chunks").seeds(seeds).words(words).run(|bytes| {
        let found = scan_chunks(bytes, usize::MAX);
        for size in PIECES {
            assert_eq!(scan_chunks(bytes, size), found, "in pieces of {size}");
        }
        if let Chunks::Ended(end) = found {
            assert_eq!(end_of_chunks(bytes), Some(end));
        }
        match found {
            Chunks::Open => (0, bytes.len().min(12)),
            Chunks::Ended(end) => (1, end.min(60)),
            Chunks::Malformed => (2, 0),
        }
    });
}

#[test]
fn fuzz_proxy_header() {
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x01\x02\x03\x04GET /";
    let v6 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24"[..], &[7; 36]].concat();
    let fuzz = Fuzz::new("proxy-header")
        .seed(v2)
        .seed(v6)
        .seed(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")
        .seed("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\nGET /")
        .seed("PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n")
        .seed("PROXY UNKNOWN a b c\r\n")
        .words([
            "PROXY ",
            "TCP4 ",
            "TCP6 ",
            "UNKNOWN",
            "\r\n",
            " ",
            "65536",
            "::",
            "\x21\x11\0\x0c",
        ]);
    fuzz.run(|bytes| {
        let found = proxy_header::find(bytes);
        // Bytes that come later change nothing of what was found, and what was cut off is open.
        for cut in 0..bytes.len() {
            match (proxy_header::find(&bytes[..cut]), found) {
                (Found::Open, _) => {}
                (early, found) => assert_eq!(early, found, "after {cut} bytes"),
            }
        }
        match found {
            Found::Open => (0, 0),
            Found::Nothing => (1, 0),
            Found::Malformed => (2, 0),
            Found::Header {
                bytes: length,
                client,
            } => {
                assert!(length <= bytes.len() && length <= proxy_header::MAX_BYTES);
                assert!(client.is_none_or(|client| client.ip() == client.ip().to_canonical()));
                (3, length.min(120))
            }
        }
    });
}

/// The fields of a text of lines, as far as they are fields.
fn fields(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

#[test]
fn fuzz_forwarded() {
    let seeds = [
        "x-forwarded-for: 1.1.1.1\nx-forwarded-proto: https\nx-forwarded-host: a.example",
        "x-forwarded-for: 1.1.1.1, , 10.0.0.1:80,[2001:db8::1]:443\nx-forwarded-for: unknown",
        "x-forwarded-port: 8443\nx-forwarded-port: 0\nx-forwarded-host: [::1]:80, b",
        "forwarded: for=\"[2001:db8::1]\";proto=https;host=a\nx-real-ip: 1.2.3.4",
        "forwarded: for=1.1.1.1, for=_x;by=\"a,;b\"\nforwarded: for=10.0.0.2",
    ];
    let words = [
        "x-forwarded-for: ",
        "forwarded: ",
        "for=",
        "\"",
        ";",
        "\n",
        ", ",
        "10.0.0.1",
        "127.0.0.1",
        "wss",
        ":",
        "[",
        "]",
        "\u{e9}",
    ];
    let peer: IpAddr = "10.0.0.7".parse().expect("an address");
    let connection = Connection::new(0, Ends::of(peer), Arc::default(), None, Weak::new());
    let settings = ForwardedSettings {
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        ..ForwardedSettings::default()
    };
    let by = |header| {
        Forwarded::new(&ForwardedSettings {
            header,
            ..settings.clone()
        })
    };
    let (trusting, both, standard, strict) = (
        Forwarded::new(&settings),
        by(ForwardedHeader::Both),
        by(ForwardedHeader::Forwarded),
        Forwarded::new(&ForwardedSettings::default()),
    );
    let host = HeaderValue::from_static("shop.example:8080");
    let parsed = Host::parse(host.as_bytes()).expect("a host");
    Fuzz::new("forwarded")
        .seeds(seeds)
        .words(words)
        .run(|bytes| {
            let sent = fields(bytes);
            let mut headers = sent.clone();
            let told = strict.apply(&mut headers, &connection, Some((&parsed, &host)));
            assert_eq!(told.client, peer, "a stranger is believed");
            assert_eq!(headers["x-forwarded-for"], "10.0.0.7");
            assert!(!headers.contains_key("forwarded"));

            // What is written of a list is a list, and its client is found again.
            for forwarded in [&both, &standard] {
                let mut headers = sent.clone();
                let told = forwarded.apply(&mut headers, &connection, Some((&parsed, &host)));
                let line = headers["forwarded"].clone();
                let hops = line.as_bytes().split(|byte| *byte == b',').count();
                let mut again = HeaderMap::from_iter([(header::FORWARDED, line)]);
                let found = standard.apply(&mut again, &connection, None);
                // Beyond some hops nobody looks.
                assert!(
                    hops > 20 || found.client == told.client,
                    "{told:?} {again:?}"
                );
            }

            let mut headers = sent;
            let told = trusting.apply(&mut headers, &connection, Some((&parsed, &host)));
            for name in [
                "x-forwarded-for",
                "x-forwarded-proto",
                "x-forwarded-host",
                "x-forwarded-port",
            ] {
                assert_eq!(headers.get_all(name).iter().count(), 1, "{name}");
            }
            let chain = headers["x-forwarded-for"].as_bytes();
            assert!(chain.ends_with(b"10.0.0.7"));
            let mut elements = chain.split(|byte| *byte == b',');
            assert!(elements.all(|element| !element.trim_ascii().is_empty()));
            assert!(Host::parse(headers["x-forwarded-host"].as_bytes()).is_ok());
            let port = headers["x-forwarded-port"].to_str().expect("digits");
            assert!(port.parse::<u16>().is_ok_and(|port| port > 0), "{port}");
            let chain = chain.split(|byte| *byte == b',').count();
            (told.client == peer, told.scheme.name(), chain.min(6))
        });
}
