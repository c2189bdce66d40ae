//! Thousands of odd framings against an endpoint that reads strictly: it gets
//! the request that was sent, or nothing, and never one that lay in a body.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::find;
use crate::gateway::{ANY, Gateway};
use crate::upstream::Upstream;

/// What lies in the body of each request.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// Spellings of `Transfer-Encoding`, legal ones among them; `None` is none.
const CODINGS: &[Option<&str>] = &[
    None,
    Some("Transfer-Encoding: chunked\r\n"),
    Some("transfer-encoding:chunked\r\n"),
    Some("Transfer-Encoding: \tchunked \r\n"),
    Some("Transfer-Encoding: Chunked\r\n"),
    Some("Transfer-Encoding : chunked\r\n"),
    Some("Transfer-Encoding\t: chunked\r\n"),
    Some(" Transfer-Encoding: chunked\r\n"),
    Some("Transfer-Encoding: chunked\n"),
    Some("Transfer-Encoding: chunked\r\r\n"),
    Some("Transfer-Encoding: chunked\r"),
    Some("Transfer-Encoding: \x0bchunked\r\n"),
    Some("Transfer-Encoding: chunked\x0b\r\n"),
    Some("Transfer-Encoding: chunked\0\r\n"),
    Some("Transfer-Encoding:\r\n chunked\r\n"),
    Some("X: y\r\n Transfer-Encoding: chunked\r\n"),
    Some("X: y\rTransfer-Encoding: chunked\r\n"),
    Some("X: y\nTransfer-Encoding: chunked\r\n"),
    Some("Transfer-Encoding: xchunked\r\n"),
    Some("Transfer-Encoding: chunkedx\r\n"),
    Some("Transfer-Encoding: \"chunked\"\r\n"),
    Some("Transfer-Encoding: 'chunked'\r\n"),
    Some("Transfer-Encoding: chunked;q=1\r\n"),
    Some("Transfer-Encoding: identity\r\n"),
    Some("Transfer-Encoding: identity, chunked\r\n"),
    Some("Transfer-Encoding: chunked, identity\r\n"),
    Some("Transfer-Encoding: chunked, chunked\r\n"),
    Some("Transfer-Encoding: gzip, chunked\r\n"),
    Some("Transfer-Encoding: ,chunked\r\n"),
    Some("Transfer-Encoding: chunked,\r\n"),
    Some("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
    Some("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
    Some("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    Some("Transfer-Encoding:\r\n"),
    Some("Transfer_Encoding: chunked\r\n"),
    Some("Transfer-Encodin\u{454}: chunked\r\n"),
    Some("TE: chunked\r\n"),
    Some("Content-Encoding: chunked\r\n"),
];

/// Spellings of `Content-Length`; `@` is the length of the body, `#` another.
const LENGTHS: &[Option<&str>] = &[
    None,
    Some("Content-Length: @\r\n"),
    Some("content-length:@\r\n"),
    Some("Content-Length: \t@\t\r\n"),
    Some("Content-Length: @\r\nContent-Length: @\r\n"),
    Some("Content-Length: @, @\r\n"),
    Some("Content-Length: 0@\r\n"),
    Some("Content-Length: @\r\nContent-Length: #\r\n"),
    Some("Content-Length: #\r\nContent-Length: @\r\n"),
    Some("Content-Length: #, @\r\n"),
    Some("Content-Length: @,\r\n"),
    Some("Content-Length: +@\r\n"),
    Some("Content-Length: -@\r\n"),
    Some("Content-Length: @ @\r\n"),
    Some("Content-Length: @x\r\n"),
    Some("Content-Length: 0x@\r\n"),
    Some("Content-Length: @.0\r\n"),
    Some("Content-Length: @;\r\n"),
    Some("Content-Length: \"@\"\r\n"),
    Some("Content-Length: \x0b@\r\n"),
    Some("Content-Length: @\0\r\n"),
    Some("Content-Length : @\r\n"),
    Some(" Content-Length: @\r\n"),
    Some("X: y\r\n Content-Length: @\r\n"),
    Some("Content-Length:\r\n @\r\n"),
    Some("Content-Length:\r\n"),
    Some("Content-Length: 18446744073709551616\r\n"),
    Some("Content_Length: @\r\n"),
    Some("Content-Length: @\n"),
    Some("Content-Length: @\r"),
];

/// Chunked bodies; `B` is the body, `H` its length in hex. The first ones are
/// legal.
const CHUNKS: &[&str] = &[
    "H\r\nB\r\n0\r\n\r\n",
    "H;a=b\r\nB\r\n0\r\n\r\n",
    "000H\r\nB\r\n0\r\n\r\n",
    "H\r\nB\r\n0\r\nx: y\r\n\r\n",
    "H \r\nB\r\n0\r\n\r\n",
    " H\r\nB\r\n0\r\n\r\n",
    "0xH\r\nB\r\n0\r\n\r\n",
    "+H\r\nB\r\n0\r\n\r\n",
    "-H\r\nB\r\n0\r\n\r\n",
    "H,\r\nB\r\n0\r\n\r\n",
    "H;\r\nB\r\n0\r\n\r\n",
    "H;\n\r\nB\r\n0\r\n\r\n",
    "H\nB\r\n0\r\n\r\n",
    "H\rB\r\n0\r\n\r\n",
    "H\r\nB\n0\r\n\r\n",
    "H\r\nB0\r\n\r\n",
    "H\r\nBxx\r\n0\r\n\r\n",
    "H\r\nB\r\n0\n\n",
    "H\r\nB\r\n0\r\n\n",
    "H\r\nB\r\n0x\r\n\r\n",
    "H\r\nB\r\n\r\n\r\n",
    "1000000000000000H\r\nB\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nB\r\n0\r\n\r\n",
    "H\r\nB\r\n0\r\n x: y\r\n\r\n",
    "H\r\nB\r\n0\r\nx y\r\n\r\n",
    "H\x0b\r\nB\r\n0\r\n\r\n",
    "H\0\r\nB\r\n0\r\n\r\n",
    "\r\nH\r\nB\r\n0\r\n\r\n",
];

struct Mutation {
    bytes: Vec<u8>,
    /// Whether any strict reader takes it for one request.
    legal: bool,
}

fn mutations() -> Vec<Mutation> {
    let length = SMUGGLED.len();
    let (decimal, hex) = (length.to_string(), format!("{length:x}"));
    let chunk = |form: &str| form.replace('H', &hex).replace('B', SMUGGLED);
    let mut all = Vec::new();
    let mut add = |fields: &str, body: &str, legal: bool| {
        let number = all.len();
        let head = format!("POST /m/{number} HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        all.push(Mutation {
            bytes: (head + body).into_bytes(),
            legal,
        });
    };
    // Every coding with every length, over a plain and over a chunked body.
    for (coding_at, coding) in CODINGS.iter().enumerate() {
        for (length_at, length) in LENGTHS.iter().enumerate() {
            let length = length.unwrap_or_default();
            let length = length.replace('@', &decimal).replace('#', "5");
            let fields = format!("{}{length}", coding.unwrap_or_default());
            add(
                &fields,
                SMUGGLED,
                coding_at == 0 && (1..=6).contains(&length_at),
            );
            add(
                &fields,
                &chunk(CHUNKS[0]),
                (1..=4).contains(&coding_at) && length_at == 0,
            );
        }
    }
    for (at, form) in CHUNKS.iter().enumerate() {
        add("Transfer-Encoding: chunked\r\n", &chunk(form), at < 4);
    }
    all
}

/// Takes requests as RFC 9112 has them and no others; keeps what it found.
async fn strict(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match parse(&bytes) {
            Parsed::Request { target, length } => {
                bytes.drain(..length);
                seen.lock().expect("no panic under it").push(target);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                if stream.write_all(answer).await.is_err() {
                    return;
                }
                continue;
            }
            Parsed::Malformed(why) => {
                let what = format!("MALFORMED ({why}): {}", bytes.escape_ascii());
                seen.lock().expect("no panic under it").push(what);
                return;
            }
            Parsed::Open => {}
        }
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
}

enum Parsed {
    Open,
    Request { target: String, length: usize },
    Malformed(&'static str),
}

fn parse(bytes: &[u8]) -> Parsed {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Parsed::Open;
    };
    let Ok(head) = std::str::from_utf8(&bytes[..end]) else {
        return Parsed::Malformed("not UTF-8");
    };
    if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Parsed::Malformed("a stray line end");
    }
    let mut lines = head.split("\r\n");
    let line: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [_, target, "HTTP/1.1"] = line[..] else {
        return Parsed::Malformed("the request line");
    };
    let (mut lengths, mut codings) = (Vec::new(), Vec::new());
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            return Parsed::Malformed("a line without a colon");
        };
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-!#$%&'*+.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Parsed::Malformed("a name");
        }
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.trim().to_owned()),
            "transfer-encoding" => codings.push(value.trim().to_owned()),
            _ => {}
        }
    }
    let body = &bytes[end + 4..];
    let length = match (&lengths[..], &codings[..]) {
        ([], []) => Some(0),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length: usize = length.parse().expect("digits");
            (body.len() >= length).then_some(length)
        }
        ([], [coding]) if coding == "chunked" => match chunked(body) {
            Ok(length) => length,
            Err(why) => return Parsed::Malformed(why),
        },
        _ => return Parsed::Malformed("two framings"),
    };
    match length {
        None => Parsed::Open,
        Some(length) => Parsed::Request {
            target: target.to_owned(),
            length: end + 4 + length,
        },
    }
}

/// The length of a chunked body, if it is all there.
fn chunked(body: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut at = 0;
    loop {
        let Some(end) = find(&body[at..], b"\r\n") else {
            return Ok(None);
        };
        let line = &body[at..at + end];
        let size = std::str::from_utf8(line).map_err(|_| "a chunk size")?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("a chunk size");
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| "a chunk size")?;
        at += end + 2;
        if size == 0 {
            return Ok(find(&body[at - 2..], b"\r\n\r\n").map(|end| at - 2 + end + 4));
        }
        if body.len() < at + size + 2 {
            return Ok(None);
        }
        if &body[at + size..at + size + 2] != b"\r\n" {
            return Err("a chunk's end");
        }
        at += size + 2;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_framing_hides_a_request() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    let upstream = Upstream::raw(move |stream| strict(stream, record.clone())).await;
    let settings = [
        ("PAILOU_LIMITS_BODY_TIMEOUT", "300ms"),
        ("PAILOU_LIMITS_HEADER_TIMEOUT", "300ms"),
    ];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mutations = mutations();
    assert!(mutations.len() >= 2_000, "{}", mutations.len());
    for (number, mutation) in mutations.iter().enumerate() {
        let mut client = gateway.connect().await;
        client.send(&mutation.bytes).await;
        let _ = client.stream.shutdown().await;
        let mut answers = Vec::new();
        let read = client.stream.read_to_end(&mut answers);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        let what = mutation.bytes.escape_ascii().to_string();
        assert!(read.is_ok(), "no end: {what}");
        let answers = String::from_utf8_lossy(&answers).into_owned();
        let found = std::mem::take(&mut *seen.lock().expect("no panic under it"));
        let target = format!("/m/{number}");
        if mutation.legal {
            assert_eq!(found, [target], "{what}\n{answers}");
            assert!(answers.contains("HTTP/1.1 200"), "{what}\n{answers}");
            continue;
        }
        // A head whose framing is plain may have a request behind it that the
        // client sent as one of its own.
        let is_plain = found.first() == Some(&target) && is_without_body(&mutation.bytes);
        let allowed: &[&str] = match is_plain {
            true => &[&target, "/smuggled"],
            false => &[&target],
        };
        for request in &found {
            assert!(
                allowed.contains(&request.as_str()),
                "{request}: {what}\n{answers}"
            );
        }
    }
}

/// Whether no line of the head has to do with framing, in any spelling: then it
/// has no body, and what follows is the next request.
fn is_without_body(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let framing = |line: &str| {
        let name = line.split(':').next().unwrap_or_default();
        matches!(name, "content-length" | "transfer-encoding")
    };
    !head.split("\r\n").any(framing)
}
