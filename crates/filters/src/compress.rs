//! Compresses bodies of responses while they stream.

mod accept;
mod coding;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use pailou_config::{Field, Fields};
use pailou_telemetry::Metrics;

use crate::list::elements;
use crate::{RequestHead, ResponseHead, Scope, Step, header, registry::Entry};
use accept::{Wanted, wanted};
use coding::{Coding, Level};

pub use coding::Encoder;

pub(crate) const ENTRY: Entry = Entry::steps(
    "compress",
    "{ encodings: [zstd, br, gzip], min_bytes: 1KiB, types: [text/*, application/json], level: default }",
    "Compresses bodies of these types, as `Accept-Encoding` asks, while they stream; `level` is `fast`, `default` or `best`. Stands before filters that change bodies.",
    compile,
);

const DEFAULT_MIN_BYTES: u64 = 1 << 10;
const MOST_MIN_BYTES: u64 = 64 << 20;

/// What gets smaller. Pictures, videos and archives are compressed already.
const TYPES: [&str; 13] = [
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/xml",
    "application/*+xml",
    "application/javascript",
    "application/x-javascript",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "image/svg+xml",
];

/// Beginnings of what is never compressed: each message of these streams is to arrive at once, or its own protocol compresses it.
const NEVER: [&str; 2] = ["text/event-stream", "application/grpc"];

/// Content codings as RFC 9110 has them, with nginx's way of ETags: a strong one is made weak, since the bytes are others.
///
/// Cost per request: one scan of `Accept-Encoding` and one small allocation; per body, the encoder's memory and time. Bytes are
/// flushed whenever the endpoint pauses, so none waits for others.
#[derive(Debug)]
pub struct Compress {
    encodings: Vec<Coding>,
    min_bytes: u64,
    types: Vec<Pattern>,
    level: Level,
    metrics: Metrics,
}

/// A content type in which one `*` may stand for anything; lower case.
#[derive(Debug)]
struct Pattern {
    begin: String,
    end: Option<String>,
}

/// What the request half writes down.
struct Asked {
    wanted: Wanted,
    /// The validators that the client has.
    if_none_match: Option<HeaderValue>,
}

fn compile(field: &Field<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let encodings = encodings(&mut fields);
    let min_bytes = match fields.optional("min_bytes") {
        Some(size) => size.size(0..=MOST_MIN_BYTES),
        None => Some(DEFAULT_MIN_BYTES),
    };
    let types = match fields.optional("types") {
        Some(list) => list.each(|item| Pattern::read(item)),
        None => Some(TYPES.iter().map(|text| Pattern::of(text)).collect()),
    };
    let level = match fields.optional("level") {
        Some(level) => level.one_of(&[
            ("fast", Level::Fast),
            ("default", Level::Default),
            ("best", Level::Best),
        ]),
        None => Some(Level::Default),
    };
    fields.finish();
    Some(vec![Step::Compress(Box::new(Compress {
        encodings: encodings?,
        min_bytes: min_bytes?,
        types: types?,
        level: level?,
        metrics: scope.shared.metrics().clone(),
    }))])
}

fn encodings(fields: &mut Fields<'_>) -> Option<Vec<Coding>> {
    let Some(list) = fields.optional("encodings") else {
        return Some(Coding::ALL.to_vec());
    };
    let choices = Coding::ALL.map(|coding| (coding.word(), coding));
    let read = list.each(|item| item.one_of(&choices))?;
    if read.is_empty() {
        list.fault_expected("no encoding", "zstd, br, gzip, or several of them");
    }
    Some(read)
}

impl Pattern {
    fn read(field: &Field<'_>) -> Option<Pattern> {
        let text = field.string()?;
        let is_type = text == "*" || text.split('/').filter(|part| !part.is_empty()).count() == 2;
        if !is_type || text.matches('*').count() > 1 || text.contains([';', ' ', ',']) {
            field.fault_expected(
                "not a content type",
                "a type such as `application/json`, `text/*` or `application/*+json`",
            );
            return None;
        }
        Some(Pattern::of(&text))
    }

    fn of(text: &str) -> Pattern {
        let text = text.to_ascii_lowercase();
        match text.split_once('*') {
            Some((begin, end)) => Pattern {
                begin: begin.to_owned(),
                end: Some(end.to_owned()),
            },
            None => Pattern {
                begin: text,
                end: None,
            },
        }
    }

    fn matches(&self, kind: &[u8]) -> bool {
        let begin = self.begin.as_bytes();
        let Some((head, rest)) = kind.split_at_checked(begin.len()) else {
            return false;
        };
        let is_end = |end: &String| {
            let from = rest.len().checked_sub(end.len());
            from.is_some_and(|from| rest[from..].eq_ignore_ascii_case(end.as_bytes()))
        };
        head.eq_ignore_ascii_case(begin) && self.end.as_ref().map_or(rest.is_empty(), is_end)
    }
}

impl Compress {
    /// Notes what the client takes.
    pub fn request(&self, head: &mut RequestHead<'_>) {
        // A client may ask to have its answer as it is (RFC 9111 section 5.2.1.6).
        let wanted = match has_no_transform(head.headers) {
            true => Wanted::default(),
            false => wanted(head.headers, &self.encodings),
        };
        let if_none_match = head.headers.get(IF_NONE_MATCH).cloned();
        if wanted.coding.is_some() || if_none_match.is_some() {
            head.effects.note = Some(Box::new(Asked {
                wanted,
                if_none_match,
            }));
        }
    }

    /// Changes the head, and says by what its body is encoded, if it is. A response to HEAD gets the head that a GET would.
    pub fn response(&self, head: &mut ResponseHead<'_>) -> Option<Encoder> {
        let asked = head.note.and_then(|note| note.downcast_ref::<Asked>());
        if head.status == StatusCode::NOT_MODIFIED {
            not_modified(head.headers, asked?);
            return None;
        }
        if !self.is_for(head) {
            return None;
        }
        let length = length(head.headers);
        let wanted = asked.map_or_else(Wanted::default, |asked| asked.wanted);
        if length == Some(0)
            || (length.is_some_and(|it| it < self.min_bytes) && !wanted.refuses_plain)
        {
            return None;
        }
        vary(head.headers);
        let coding = wanted.coding?;
        let encoder = Encoder::new(coding, self.level, self.metrics.clone());
        // Without memory for it, the body goes as it is.
        let encoder = encoder.ok()?;
        let headers = &mut *head.headers;
        headers.insert(CONTENT_ENCODING, coding.value());
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        header::drop_digests(headers);
        weaken(headers);
        Some(encoder)
    }

    /// Whether such a response is compressed for a client that wants it.
    fn is_for(&self, head: &ResponseHead<'_>) -> bool {
        let headers = &*head.headers;
        let has_body = !head.status.is_informational()
            && !matches!(
                head.status,
                StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
            );
        let is_plain = elements(headers, &CONTENT_ENCODING)
            .all(|coding| coding.eq_ignore_ascii_case(b"identity"));
        has_body
            && is_plain
            && !headers.contains_key(CONTENT_RANGE)
            && !has_no_transform(headers)
            && self.is_type(headers)
    }

    fn is_type(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(CONTENT_TYPE) else {
            return false;
        };
        let kind = value.as_bytes().split(|byte| *byte == b';').next();
        let kind = kind.unwrap_or_default().trim_ascii();
        let is_never = NEVER.iter().any(|never| {
            let begin = kind.get(..never.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(never.as_bytes()))
        });
        !is_never && self.types.iter().any(|pattern| pattern.matches(kind))
    }
}

/// A 304 has the ETag that the client knows (RFC 9111 section 4.3.4): a weak one, if the gateway made it weak.
fn not_modified(headers: &mut HeaderMap, asked: &Asked) {
    let (Some(etag), Some(known)) = (headers.get(ETAG), &asked.if_none_match) else {
        return;
    };
    let weak = [b"W/", etag.as_bytes()].concat();
    let mut all = known.as_bytes().split(|byte| *byte == b',');
    if all.any(|tag| tag.trim_ascii() == weak) {
        weaken(headers);
        vary(headers);
    }
}

fn has_no_transform(headers: &HeaderMap) -> bool {
    elements(headers, &CACHE_CONTROL)
        .any(|directive| directive.eq_ignore_ascii_case(b"no-transform"))
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Says that the answer depends on `Accept-Encoding`, also where it was not encoded.
fn vary(headers: &mut HeaderMap) {
    let name = b"accept-encoding";
    let is_said =
        elements(headers, &VARY).any(|said| said == b"*" || said.eq_ignore_ascii_case(name));
    if !is_said {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// Makes a strong ETag weak: other bytes have the same meaning (RFC 9110 section 8.8.1).
fn weaken(headers: &mut HeaderMap) {
    const WEAK: &[u8] = b"W/";
    let Some(etag) = headers.get(ETAG).map(HeaderValue::as_bytes) else {
        return;
    };
    if etag.starts_with(WEAK) {
        return;
    }
    // What is no ETag at all goes.
    let weak = match etag.starts_with(b"\"") {
        true => HeaderValue::from_bytes(&[WEAK, etag].concat()).ok(),
        false => None,
    };
    match weak {
        Some(weak) => drop(headers.insert(ETAG, weak)),
        None => drop(headers.remove(ETAG)),
    }
}

#[cfg(test)]
mod tests;
