use std::io::Read;

use http::Method;

use super::*;
use crate::registry::tests::{request_head, step};
use crate::{Facts, Note};

fn compress(args: &str) -> Box<Compress> {
    match step("compress", args).expect(args) {
        Step::Compress(compress) => compress,
        other => panic!("not compress: {other:?}"),
    }
}

type Fields<'a> = &'a [(&'static str, &'a str)];

fn headers(fields: Fields<'_>) -> HeaderMap {
    let fields = fields.iter().map(|(name, value)| {
        let value = HeaderValue::from_str(value).expect("a value");
        (name.parse().expect("a name"), value)
    });
    fields.collect()
}

/// The coding and the head that a response gets.
fn answered(
    compress: &Compress,
    sent: Fields<'_>,
    status: u16,
    fields: Fields<'_>,
) -> (Option<&'static str>, HeaderMap) {
    let mut sent = headers(sent);
    let mut head = request_head("/", &mut sent);
    compress.request(&mut head);
    let note: Option<Note> = head.effects.note.take();
    let facts = Facts {
        method: Method::GET,
        ..Facts::default()
    };
    let mut fields = headers(fields);
    let mut head = ResponseHead {
        facts: &facts,
        note: note.as_deref(),
        status: status.try_into().expect("a status"),
        headers: &mut fields,
    };
    let encoder = compress.response(&mut head);
    let said = fields.get("content-encoding");
    let said = said.map(|value| value.to_str().expect("ASCII").to_owned());
    let coding = encoder.map(|_| {
        let known = Coding::ALL
            .iter()
            .find(|known| Some(known.word()) == said.as_deref());
        known.expect("the head says the coding").word()
    });
    (coding, fields)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().expect("ASCII"))
}

const GZIP: Fields<'_> = &[("accept-encoding", "gzip")];
const TEXT: (&str, &str) = ("content-type", "text/plain; charset=utf-8");

#[test]
fn only_what_may_be_compressed_is() {
    let compress = compress("{}");
    let cases: &[(u16, Fields<'_>, bool)] = &[
        (200, &[TEXT], true),
        (404, &[TEXT], true),
        (200, &[("content-type", "Application/JSON")], true),
        (200, &[("content-type", "application/problem+json")], true),
        (200, &[("content-type", "image/svg+xml")], true),
        (200, &[("content-type", "application/wasm")], true),
        (200, &[("content-type", "image/png")], false),
        (200, &[("content-type", "application/jsonx")], false),
        (200, &[("content-type", "application/")], false),
        (200, &[("content-type", "text/event-stream")], false),
        (200, &[("content-type", "Text/Event-Stream; a=b")], false),
        (200, &[("content-type", "application/grpc")], false),
        (200, &[("content-type", "application/grpc+json")], false),
        (200, &[("content-type", "application/grpc-web+json")], false),
        (200, &[], false),
        (204, &[TEXT], false),
        (205, &[TEXT], false),
        (206, &[TEXT], false),
        (304, &[TEXT], false),
        (101, &[TEXT], false),
        (200, &[TEXT, ("content-range", "bytes 0-1/2")], false),
        (200, &[TEXT, ("content-encoding", "br")], false),
        (200, &[TEXT, ("content-encoding", "identity")], true),
        (200, &[TEXT, ("content-encoding", "x-own")], false),
        (
            200,
            &[TEXT, ("cache-control", "max-age=1, No-Transform")],
            false,
        ),
        (200, &[TEXT, ("content-length", "1023")], false),
        (200, &[TEXT, ("content-length", "1024")], true),
        (200, &[TEXT, ("content-length", "0")], false),
    ];
    for (status, fields, is_compressed) in cases {
        let (coding, head) = answered(&compress, GZIP, *status, fields);
        assert_eq!(coding.is_some(), *is_compressed, "{status} {fields:?}");
        if !is_compressed {
            assert_eq!(head, headers(fields), "untouched: {status} {fields:?}");
        }
    }
}

#[test]
fn the_head_is_that_of_the_encoded_body() {
    let fields: Fields<'_> = &[
        TEXT,
        ("content-length", "5000"),
        ("etag", "\"a\""),
        ("accept-ranges", "bytes"),
        ("content-md5", "x"),
        ("last-modified", "Mon, 30 Nov 2026 00:00:00 GMT"),
        ("vary", "Origin"),
    ];
    let compress = compress("{}");
    let (coding, head) = answered(&compress, GZIP, 200, fields);
    assert_eq!(coding, Some("gzip"));
    for name in ["content-length", "accept-ranges", "content-md5"] {
        assert!(!head.contains_key(name), "{name}");
    }
    assert_eq!(text(&head, "etag"), "W/\"a\"");
    assert!(head.contains_key("last-modified"));
    let vary: Vec<_> = head.get_all("vary").iter().collect();
    assert_eq!(vary, ["Origin", "Accept-Encoding"]);
    // Who takes none is told that others may get another answer.
    let (coding, head) = answered(&compress, &[], 200, fields);
    assert_eq!(coding, None);
    assert_eq!(text(&head, "etag"), "\"a\"");
    assert_eq!(head.get_all("vary").iter().count(), 2);
    for said in ["*", "accept-ENCODING"] {
        let (_, head) = answered(&compress, GZIP, 200, &[TEXT, ("vary", said)]);
        assert_eq!(text(&head, "vary"), said);
        assert_eq!(head.get_all("vary").iter().count(), 1);
    }
    for (etag, after) in [("W/\"a\"", "W/\"a\""), ("no-quotes", "")] {
        let (_, head) = answered(&compress, GZIP, 200, &[TEXT, ("etag", etag)]);
        assert_eq!(text(&head, "etag"), after);
    }
}

#[test]
fn a_304_has_the_etag_that_the_client_knows() {
    let compress = compress("{}");
    let knows = |tag| [("accept-encoding", "gzip"), ("if-none-match", tag)];
    let etag: Fields<'_> = &[("etag", "\"a\"")];
    let (_, head) = answered(&compress, &knows("\"x\", W/\"a\""), 304, etag);
    assert_eq!(text(&head, "etag"), "W/\"a\"");
    assert_eq!(text(&head, "vary"), "Accept-Encoding");
    let (_, head) = answered(&compress, &knows("\"a\""), 304, etag);
    assert_eq!(head, headers(etag));
}

#[test]
fn the_client_may_refuse_a_transformation_or_a_plain_answer() {
    let compress = compress("{}");
    let refuses = [
        ("accept-encoding", "gzip"),
        ("cache-control", "no-transform"),
    ];
    assert_eq!(answered(&compress, &refuses, 200, &[TEXT]).0, None);
    let small: Fields<'_> = &[TEXT, ("content-length", "9")];
    let only = [("accept-encoding", "gzip, identity;q=0")];
    assert_eq!(answered(&compress, &only, 200, small).0, Some("gzip"));
    assert_eq!(answered(&compress, GZIP, 200, small).0, None);
}

#[test]
fn the_settings_are_honoured() {
    let all: Fields<'_> = &[("accept-encoding", "gzip, br, zstd")];
    let coding = |args: &str, fields: Fields<'_>| answered(&compress(args), all, 200, fields).0;
    assert_eq!(coding("{}", &[TEXT]), Some("zstd"));
    assert_eq!(coding("{ encodings: [br, gzip] }", &[TEXT]), Some("br"));
    assert_eq!(
        coding("{ min_bytes: 0 }", &[TEXT, ("content-length", "1")]),
        Some("zstd")
    );
    assert_eq!(coding("{ types: [image/png] }", &[TEXT]), None);
    let picture: Fields<'_> = &[("content-type", "image/png")];
    for types in ["image/png", "image/*", "'*'"] {
        assert_eq!(
            coding(&format!("{{ types: [{types}] }}"), picture),
            Some("zstd"),
            "{types}"
        );
    }
    for (args, problem) in [
        ("{ encodings: [] }", "no encoding"),
        ("{ encodings: [deflate] }", "zstd, br, gzip"),
        ("{ level: 3 }", "fast, default, best"),
        ("{ types: [text] }", "not a content type"),
        ("{ types: ['te*t/*'] }", "not a content type"),
        ("{ min_bytes: 1GiB }", "1GiB"),
        ("{ minbytes: 1 }", "unknown key"),
    ] {
        let error = step("compress", args).expect_err(args);
        assert!(error.contains(problem), "{args}: {error}");
    }
}

fn decoded(coding: Coding, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match coding {
        Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        Coding::Zstd => zstd::stream::read::Decoder::new(bytes)?.read_to_end(&mut out),
    }?;
    Ok(out)
}

#[test]
fn what_goes_in_comes_out_and_a_cut_body_is_seen_to_be_cut() {
    let long: Vec<u8> = (0..300_000_u32)
        .flat_map(|it| (it % 7919).to_be_bytes())
        .collect();
    for coding in Coding::ALL {
        for level in [Level::Fast, Level::Default, Level::Best] {
            for body in [&b""[..], b"a", b"hello hello hello", &long] {
                let metrics = Metrics::new();
                let mut encoder = Encoder::new(coding, level, metrics.clone()).expect("memory");
                let mut out = Vec::new();
                for (number, piece) in body.chunks(70_000).enumerate() {
                    out.extend(encoder.write(piece).expect("memory"));
                    if number % 2 == 0 {
                        out.extend(encoder.flush().expect("memory"));
                        assert_eq!(encoder.flush().expect("memory"), "", "nothing is held");
                    }
                }
                let cut = out.clone();
                out.extend(encoder.finish().expect("memory"));
                assert_eq!(
                    decoded(coding, &out).expect("whole"),
                    body,
                    "{coding:?} {level:?}"
                );
                assert!(
                    decoded(coding, &cut).is_err(),
                    "{coding:?}: {} bytes",
                    body.len()
                );
                assert!(encoder.write(b"x").is_err(), "it has ended");
                drop(encoder);
                let scraped = metrics.render();
                let word = coding.word();
                let counted = format!(
                    "pailou_compression_output_bytes_total{{coding=\"{word}\"}} {}",
                    out.len()
                );
                assert!(scraped.contains(&counted), "{scraped}");
            }
        }
    }
}

#[test]
fn what_is_flushed_can_be_decoded_at_once() {
    for coding in Coding::ALL {
        let mut encoder = Encoder::new(coding, Level::Default, Metrics::new()).expect("memory");
        let mut out = encoder.write(b"first").expect("memory").to_vec();
        out.extend(encoder.flush().expect("memory"));
        let mut seen = [0; 5];
        let mut bytes = &out[..];
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(&mut bytes).read_exact(&mut seen),
            Coding::Brotli => brotli::Decompressor::new(&mut bytes, 4096).read_exact(&mut seen),
            Coding::Zstd => zstd::stream::read::Decoder::new(&mut bytes)
                .expect("memory")
                .read_exact(&mut seen),
        }
        .unwrap_or_else(|error| panic!("{coding:?}: {error}"));
        assert_eq!(&seen, b"first");
    }
}
