//! `LocalResponseCache`: answers from memory for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, DATE, RANGE, SET_COOKIE,
    TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pailou_config::{ScgArgs, Shortcut};

use crate::response_cache::{Kept, Key, ResponseCache, seconds_left};
use crate::{
    Answer, Copying, Keep, Next, RequestHead, ResponseHead, Scope, Step, header, registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::scg(
    "LocalResponseCache",
    "timeToLive (5m), size (32MB)",
    "Answers a GET from memory for `timeToLive` after the service did, with 200, 206 or 301 and nothing against it; at most `size` bytes of responses.",
    Shortcut::Fields(&["timeToLive", "size"]),
    compile,
);

/// Spring has no bound unless it is told one.
const DEFAULT_BYTES: u64 = 32 << 20;
const MOST_BYTES: u64 = 4 << 30;
const DEFAULT_TIME: Duration = Duration::from_secs(300);

/// The key is the host, the path and the query as they stand at this filter, and what
/// of the request says who asks: Authorization and cookies; and the range, which
/// Spring forgets. A response that sets a cookie is not kept: Spring would give one
/// client's session to others.
#[derive(Debug)]
struct LocalResponseCache {
    cache: Arc<ResponseCache>,
    time: Duration,
}

fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let time = match args.get("timeToLive") {
        Some(time) => time.duration(),
        None => Some(DEFAULT_TIME),
    };
    let size = match args.get("size") {
        Some(size) => size.size().map(|bytes| {
            if bytes > MOST_BYTES {
                size.warn("at most 4 GiB are kept");
            }
            bytes.min(MOST_BYTES)
        }),
        None => Some(DEFAULT_BYTES),
    };
    let (time, size) = (time?, usize::try_from(size?).ok()?);
    Some(vec![Step::Keep(Box::new(LocalResponseCache {
        cache: scope.shared.cache(scope.route, size),
        time,
    }))])
}

/// What the request half writes down of a request that the cache could not answer.
struct Asked {
    key: Key,
    headers: HeaderMap,
}

impl LocalResponseCache {
    fn key(&self, head: &RequestHead<'_>) -> Key {
        let target = head.target();
        let mut parts: Vec<&[u8]> = vec![head.facts.host.as_bytes(), target.as_bytes()];
        for name in [AUTHORIZATION, COOKIE, RANGE] {
            let values = head.headers.get_all(&name).iter();
            // One more part for each name, so that none is taken for another.
            parts.push(b"");
            parts.extend(values.map(|value| value.as_bytes()));
        }
        self.cache.key(&parts)
    }
}

/// Whether the cache has to do with a request: a GET without a body that does not ask
/// for a fresh answer.
fn is_cacheable(head: &RequestHead<'_>) -> bool {
    let has_body = head.headers.contains_key(TRANSFER_ENCODING)
        || head
            .headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length != "0");
    *head.method == Method::GET
        && !has_body
        && !has_directive(head.headers, &["no-cache", "no-store"])
}

/// Whether Cache-Control has one of these directives.
fn has_directive(headers: &HeaderMap, wanted: &[&str]) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut directives = texts.flat_map(|text| text.split(','));
    directives.any(|directive| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        wanted
            .iter()
            .any(|wanted| name.eq_ignore_ascii_case(wanted))
    })
}

/// The names in Vary; nothing if it says that no request is like another.
fn varies(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let values = headers.get_all(VARY).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let names = texts.flat_map(|text| text.split(',')).map(str::trim);
    let mut read = Vec::new();
    for name in names.filter(|name| !name.is_empty()) {
        // `*` is no name of a header.
        let name = HeaderName::try_from(name).ok().filter(|_| name != "*")?;
        if !read.contains(&name) {
            read.push(name);
        }
    }
    Some(read)
}

impl Keep for LocalResponseCache {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        if head.effects.is_rehearsal || !is_cacheable(head) {
            return Next::Continue;
        }
        let (key, now) = (self.key(head), Instant::now());
        let Some(kept) = self.cache.find(key, head.headers, now) else {
            let headers = head.headers.clone();
            head.effects.note = Some(Box::new(Asked { key, headers }));
            return Next::Continue;
        };
        let mut headers = kept.headers.clone();
        say_age(&mut headers, seconds_left(&kept, now));
        Next::Answer(Box::new(Answer {
            status: kept.status,
            headers,
            body: kept.body.clone(),
        }))
    }

    fn response(&self, head: &mut ResponseHead<'_>) -> Option<Box<dyn Copying>> {
        let asked: &Asked = head.note?.downcast_ref()?;
        let is_kept = matches!(
            head.status,
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::MOVED_PERMANENTLY
        );
        if !is_kept
            || has_directive(head.headers, &["private", "no-store"])
            || head.headers.contains_key(SET_COOKIE)
        {
            return None;
        }
        let varies = varies(head.headers)?;
        let mut headers = head.headers.clone();
        header::drop_of_the_connection(&mut headers);
        headers.remove(DATE);
        let copy = Copy {
            cache: Arc::clone(&self.cache),
            key: asked.key,
            asked: asked.headers.clone(),
            varies,
            status: head.status,
            headers,
            until: Instant::now() + self.time,
        };
        say_age(head.headers, self.time.as_secs());
        Some(Box::new(copy))
    }
}

/// Says in Cache-Control for how long the response is fresh.
fn say_age(headers: &mut HeaderMap, seconds: u64) {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let others = texts.flat_map(|text| text.split(',')).map(str::trim);
    let others =
        others.filter(|it| !it.is_empty() && !it.to_ascii_lowercase().starts_with("max-age"));
    let own = format!("max-age={seconds}");
    let all: Vec<&str> = others.chain([own.as_str()]).collect();
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(CACHE_CONTROL, value);
    }
}

/// A response on its way into the cache.
#[derive(Debug)]
struct Copy {
    cache: Arc<ResponseCache>,
    key: Key,
    asked: HeaderMap,
    varies: Vec<HeaderName>,
    status: StatusCode,
    headers: HeaderMap,
    until: Instant,
}

impl Copying for Copy {
    fn most_bytes(&self) -> usize {
        self.cache.most_bytes()
    }

    fn keep(self: Box<Self>, body: Bytes) {
        let Copy {
            cache,
            key,
            asked,
            varies,
            status,
            headers,
            until,
        } = *self;
        let kept = Kept {
            status,
            headers,
            body,
            until,
        };
        cache.keep(key, &varies, &asked, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::{facts, request_head, steps};
    use crate::scg::testing::headers;

    fn cache() -> Box<dyn Keep> {
        let (mut steps, _) = steps("LocalResponseCache", "2s,1MB", &[]).expect("legal");
        match steps.pop() {
            Some(Step::Keep(keep)) => keep,
            other => panic!("not a cache: {other:?}"),
        }
    }

    type Fields<'a> = &'a [(&'static str, &'static str)];

    /// Sends a request through the cache: whether it was answered from it, and the
    /// response's Cache-Control.
    fn asked(
        cache: &dyn Keep,
        path: &str,
        sent: Fields<'_>,
        status: u16,
        answered: Fields<'_>,
    ) -> (bool, String) {
        let mut sent = headers(sent);
        let mut head = request_head(path.to_owned(), &mut sent);
        let next = cache.request(&mut head);
        let note = head.effects.note.take();
        let text = |headers: &HeaderMap| {
            let value = headers.get(CACHE_CONTROL);
            value
                .map_or("", |value| value.to_str().expect("ASCII"))
                .to_owned()
        };
        if let Next::Answer(answer) = next {
            assert_eq!(answer.body, "body");
            return (true, text(&answer.headers));
        }
        let mut answered = headers(answered);
        let mut head = ResponseHead {
            facts: facts(),
            note: note.as_deref(),
            status: status.try_into().expect("a status"),
            headers: &mut answered,
        };
        if let Some(copy) = cache.response(&mut head) {
            assert_eq!(copy.most_bytes(), 1 << 20);
            copy.keep(Bytes::from_static(b"body"));
        }
        (false, text(&answered))
    }

    #[test]
    fn a_second_request_is_answered_from_memory() {
        let cache = cache();
        assert_eq!(
            asked(&*cache, "/a", &[], 200, &[]),
            (false, "max-age=2".to_owned())
        );
        assert_eq!(
            asked(&*cache, "/a", &[], 200, &[]),
            (true, "max-age=1".to_owned())
        );
        assert!(!asked(&*cache, "/b", &[], 301, &[]).0);
        assert!(asked(&*cache, "/b", &[], 301, &[]).0);
        let (_, said) = asked(
            &*cache,
            "/c",
            &[],
            200,
            &[("cache-control", "public, max-age=100")],
        );
        assert_eq!(said, "public, max-age=2");
    }

    #[test]
    fn what_is_not_for_others_is_not_kept() {
        let cases: &[(u16, Fields<'_>)] = &[
            (200, &[("cache-control", "no-store")]),
            (200, &[("cache-control", "max-age=9, private")]),
            (200, &[("vary", "*")]),
            (200, &[("set-cookie", "s=1")]),
            (404, &[]),
            (302, &[]),
        ];
        for (status, answered) in cases {
            let cache = cache();
            let (_, said) = asked(&*cache, "/a", &[], *status, answered);
            assert!(!said.contains("max-age=2"), "{answered:?}: {said}");
            assert!(
                !asked(&*cache, "/a", &[], 200, &[]).0,
                "{status} {answered:?}"
            );
        }
    }

    #[test]
    fn who_asks_and_for_what_makes_a_difference() {
        let cases: &[(Fields<'_>, Fields<'_>, Fields<'_>, bool)] = &[
            (
                &[("authorization", "u1")],
                &[],
                &[("authorization", "u2")],
                false,
            ),
            (
                &[("authorization", "u1")],
                &[],
                &[("authorization", "u1")],
                true,
            ),
            (&[("cookie", "s=1")], &[], &[("cookie", "s=2")], false),
            (
                &[("cookie", "s=1")],
                &[],
                &[("authorization", "s=1")],
                false,
            ),
            (&[("range", "bytes=0-1")], &[], &[], false),
            (
                &[("x-v", "1")],
                &[("vary", "X-V, Accept")],
                &[("x-v", "1")],
                true,
            ),
            (
                &[("x-v", "1")],
                &[("vary", "X-V, Accept")],
                &[("x-v", "2")],
                false,
            ),
            (&[("x-v", "1")], &[], &[("x-v", "2")], true),
        ];
        for (first, answered, second, is_hit) in cases {
            let cache = cache();
            asked(&*cache, "/a", first, 200, answered);
            assert_eq!(
                asked(&*cache, "/a", second, 200, &[]).0,
                *is_hit,
                "{first:?} {second:?}"
            );
        }
    }

    #[test]
    fn a_request_may_ask_for_a_fresh_answer() {
        let cache = cache();
        asked(&*cache, "/a", &[], 200, &[]);
        let cases: [Fields<'_>; 4] = [
            &[("cache-control", "no-cache")],
            &[("cache-control", "no-store")],
            &[("content-length", "1")],
            &[("transfer-encoding", "chunked")],
        ];
        for sent in cases {
            assert_eq!(
                asked(&*cache, "/a", sent, 200, &[]),
                (false, String::new()),
                "{sent:?}"
            );
        }
        assert!(asked(&*cache, "/a", &[("content-length", "0")], 200, &[]).0);
    }
}
