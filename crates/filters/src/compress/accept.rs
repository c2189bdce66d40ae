//! Which coding a client wants (RFC 9110 section 12.5.3).

use http::{HeaderMap, header};

use super::coding::Coding;
use crate::list::elements;

/// What `Accept-Encoding` says, with the codings that are offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The best of the codings that the client takes; none if it takes none, or likes an answer as it is better.
    pub(super) coding: Option<Coding>,
    /// Whether it refuses an answer as it is: `identity;q=0`.
    pub(super) refuses_plain: bool,
}

/// Quality values count, in thousandths. Of codings that the client likes equally the first that is offered is taken.
///
/// A client without the header gets no coding: it may take any, but many such clients decode none.
pub(super) fn wanted(headers: &HeaderMap, offered: &[Coding]) -> Wanted {
    let quality = |is_it: &dyn Fn(&[u8]) -> bool| {
        let mut all = elements(headers, &header::ACCEPT_ENCODING).map(split);
        all.find(|(name, _)| is_it(name)).map(|(_, q)| q)
    };
    let any = quality(&|name| name == b"*");
    let plain = quality(&|name| name.eq_ignore_ascii_case(b"identity"));
    let mut best: Option<(Coding, u16)> = None;
    for coding in offered {
        let q = quality(&|name| coding.is_called(name)).or(any).unwrap_or(0);
        if q > best.map_or(0, |(_, best)| best) {
            best = Some((*coding, q));
        }
    }
    // Only what is said of `identity` itself makes it better: `*` is for all that is not named.
    let best = best.filter(|(_, q)| plain.is_none_or(|plain| plain <= *q));
    Wanted {
        coding: best.map(|(coding, _)| coding),
        refuses_plain: plain.or(any) == Some(0),
    }
}

/// The name and the quality of an element, in thousandths. A quality that is none is 0: what is not understood is not sent.
fn split(element: &[u8]) -> (&[u8], u16) {
    let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().unwrap_or_default();
    let is_quality = |part: &&[u8]| matches!(part, [b'q' | b'Q', b'=', ..]);
    match parts.find(is_quality) {
        Some(part) => (name, thousandths(&part[2..]).unwrap_or(0)),
        None => (name, 1000),
    }
}

/// `0.25` is 250 (RFC 9110 section 12.4.2).
fn thousandths(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 3 || !rest.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let rest: u16 = format!("{rest:0<3}").parse().ok()?;
    match whole {
        "0" => Some(rest),
        "1" if rest == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_client_chooses_and_the_server_breaks_ties() {
        for (accepted, coding, refuses_plain) in [
            (&["gzip"][..], Some("gzip"), false),
            (&["gzip, br, zstd"], Some("zstd"), false),
            (&["gzip, br"], Some("br"), false),
            (&["GZIP"], Some("gzip"), false),
            (&["x-gzip"], Some("gzip"), false),
            (&["gzip", "br"], Some("br"), false),
            (&["gzip;q=1.0, br;q=0.9"], Some("gzip"), false),
            (&["gzip ; q=0.5 , zstd ; Q=0.499"], Some("gzip"), false),
            (&["gzip;q=0"], None, false),
            (&["*"], Some("zstd"), false),
            (&["*;q=0"], None, true),
            (&["*, zstd;q=0"], Some("br"), false),
            (&["gzip, *;q=0"], Some("gzip"), true),
            (&["identity"], None, false),
            (&["identity, gzip;q=0.5"], None, false),
            (&["identity;q=0.5, gzip;q=0.5"], Some("gzip"), false),
            (&["identity;q=0, gzip"], Some("gzip"), true),
            (&["identity;q=0"], None, true),
            (&["deflate, compress"], None, false),
            (&[""], None, false),
            (&[], None, false),
            (&["gzip;q=2"], None, false),
            (&["gzip;q=1.001"], None, false),
            (&["gzip;q=0.0001"], None, false),
            (&["gzip;q="], None, false),
            (&["gzip;q=x, br;q=0.001"], Some("br"), false),
        ] {
            let mut headers = HeaderMap::new();
            for line in accepted {
                let value = HeaderValue::from_static(line);
                headers.append(header::ACCEPT_ENCODING, value);
            }
            let wanted = wanted(&headers, &Coding::ALL);
            assert_eq!(wanted.coding.map(Coding::word), coding, "{accepted:?}");
            assert_eq!(wanted.refuses_plain, refuses_plain, "{accepted:?}");
        }
    }

    #[test]
    fn only_what_is_offered_is_taken() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_static("zstd, br, gzip");
        headers.insert(header::ACCEPT_ENCODING, value);
        let offered = [Coding::Gzip, Coding::Brotli];
        assert_eq!(wanted(&headers, &offered).coding, Some(Coding::Gzip));
    }
}
