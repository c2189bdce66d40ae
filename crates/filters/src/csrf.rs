//! Refuses requests that a page of another site may have made a browser send.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use pailou_config::{Field, UpstreamUrl};

use crate::{Edit, Next, Refusal, RequestHead, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::edit(
    "csrf",
    "{ allow: ['https://shop.example'], without_origin: refuse }",
    "Refuses POST, PUT and every other method that changes something, as 403, unless `Origin`, or else `Referer`, is of the request's own host or of `allow`. `without_origin: allow` takes requests with neither, which browsers do not send.",
    compile,
);

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The check of standard headers that OWASP's sheet on cross-site request forgery
/// describes, with `Sec-Fetch-Site` (Fetch Metadata) where a browser sends it, as Go's
/// `http.CrossOriginProtection` does. It needs no token and no state.
///
/// Only host and port are compared with those of the Host header, since the gateway may
/// stand behind something that speaks TLS. An origin of `allow` is compared whole.
///
/// Cost: a look at three headers.
#[derive(Debug)]
struct Csrf {
    allow: Vec<UpstreamUrl>,
    /// Whether a request without `Origin` and `Referer` passes.
    allows_unsaid: bool,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    if field.is_null() {
        return Some(Box::new(Csrf {
            allow: Vec::new(),
            allows_unsaid: false,
        }));
    }
    let mut fields = field.mapping()?;
    let allow = match fields.optional("allow") {
        Some(origins) => origins_of(&origins),
        None => Some(Vec::new()),
    };
    let allows_unsaid = match fields.optional("without_origin") {
        Some(field) => field.one_of(&[("refuse", false), ("allow", true)]),
        None => Some(false),
    };
    fields.finish();
    Some(Box::new(Csrf {
        allow: allow?,
        allows_unsaid: allows_unsaid?,
    }))
}

fn origins_of(field: &Field<'_>) -> Option<Vec<UpstreamUrl>> {
    field.each(|item| {
        UpstreamUrl::parse(&item.string()?)
            .map_err(|problem| {
                item.fault_expected(problem, "an origin such as `https://shop.example`")
            })
            .ok()
    })
}

/// What a request says of the page that made it.
enum Said {
    Nothing,
    /// What is no origin: `null`, or several values.
    Unclear,
    Origin(UpstreamUrl),
}

impl Csrf {
    fn allows(&self, head: &RequestHead<'_>) -> bool {
        let site = head.headers.get(SEC_FETCH_SITE);
        let site = site.map(HeaderValue::as_bytes);
        // `none`: the user caused the request, by a bookmark for instance.
        if matches!(site, Some(b"same-origin" | b"none")) {
            return true;
        }
        match said(head.headers) {
            Said::Nothing => self.allows_unsaid && site.is_none(),
            Said::Unclear => false,
            Said::Origin(origin) if self.allow.contains(&origin) => true,
            // The browser knows better than the Host header which page asks which site.
            Said::Origin(_) if site.is_some() => false,
            Said::Origin(origin) => is_of(&origin, &head.facts.host),
        }
    }
}

fn said(headers: &HeaderMap) -> Said {
    for name in [header::ORIGIN, header::REFERER] {
        let mut values = headers.get_all(&name).iter();
        let Some(value) = values.next() else {
            continue;
        };
        if values.next().is_some() {
            return Said::Unclear;
        }
        let text = value.to_str().unwrap_or_default();
        return match UpstreamUrl::parse(origin_in(text)) {
            Ok(origin) => Said::Origin(origin),
            Err(_) => Said::Unclear,
        };
    }
    Said::Nothing
}

/// A URL up to its path.
fn origin_in(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']);
    &url[..end.map_or(url.len(), |end| start + end)]
}

/// Whether an origin is that of a Host header. A port that the header leaves out is that of the
/// origin's scheme.
fn is_of(origin: &UpstreamUrl, host: &HeaderValue) -> bool {
    let scheme = if origin.is_https { "https" } else { "http" };
    let host = host.to_str().unwrap_or_default();
    UpstreamUrl::parse(&format!("{scheme}://{host}")).is_ok_and(|own| own == *origin)
}

impl Edit for Csrf {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        // RFC 9110 section 9.2.1.
        let is_safe =
            [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(head.method);
        match is_safe || self.allows(head) {
            true => Next::Continue,
            false => Next::Refuse(Refusal::Origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Facts;
    use crate::registry::tests::{compiled, request_head};

    const ALLOW: &str = "{ allow: ['https://partner.example'] }";

    fn is_taken(
        args: &str,
        method: &Method,
        host: &'static str,
        fields: &[(&'static str, &str)],
    ) -> bool {
        let edit = compiled("csrf", args).expect(args);
        let facts = Facts {
            host: HeaderValue::from_static(host),
            ..Facts::default()
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        let mut head = RequestHead {
            facts: &facts,
            method,
            ..request_head("/", &mut headers)
        };
        match edit.request(&mut head) {
            Next::Continue => true,
            Next::Refuse(Refusal::Origin) => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_post_comes_from_its_own_host_or_from_one_that_is_allowed() {
        const HOST: &str = "shop.example";
        let same = ("origin", "https://shop.example");
        let other = ("origin", "https://evil.example");
        let partner = ("origin", "https://partner.example");
        for (host, fields, is_allowed) in [
            (HOST, &[same][..], true),
            (HOST, &[("origin", "https://SHOP.example")], true),
            (HOST, &[("origin", "https://shop.example:443")], true),
            (HOST, &[("origin", "https://shop.example:444")], false),
            (HOST, &[("origin", "http://shop.example")], true),
            (
                HOST,
                &[("origin", "https://shop.example.evil.example")],
                false,
            ),
            (HOST, &[("origin", "https://evil-shop.example")], false),
            (HOST, &[("origin", "null")], false),
            (HOST, &[("origin", "")], false),
            (HOST, &[same, other], false),
            (HOST, &[partner], true),
            (HOST, &[("origin", "http://partner.example")], false),
            (HOST, &[other, ("referer", "https://shop.example/a")], false),
            (
                "shop.example:8443",
                &[("origin", "https://shop.example:8443")],
                true,
            ),
            ("shop.example:8443", &[same], false),
            ("[::1]:8080", &[("origin", "http://[::1]:8080")], true),
            // Without an origin the page's address counts.
            (HOST, &[("referer", "https://shop.example/form?a=b")], true),
            (HOST, &[("referer", "https://shop.example?https://x")], true),
            (
                HOST,
                &[("referer", "https://evil.example/shop.example")],
                false,
            ),
            (
                HOST,
                &[("referer", "https://shop.example@evil.example/")],
                false,
            ),
            (HOST, &[("referer", "about:blank")], false),
            (HOST, &[], false),
            // The browser's own word.
            (HOST, &[("sec-fetch-site", "same-origin")], true),
            (HOST, &[("sec-fetch-site", "none")], true),
            (HOST, &[("sec-fetch-site", "same-site"), same], false),
            (HOST, &[("sec-fetch-site", "cross-site"), same], false),
            (HOST, &[("sec-fetch-site", "cross-site"), partner], true),
            (HOST, &[("sec-fetch-site", "cross-site")], false),
        ] {
            for method in [Method::POST, Method::DELETE] {
                let taken = is_taken(ALLOW, &method, host, fields);
                assert_eq!(taken, is_allowed, "{method} {host} {fields:?}");
            }
        }
    }

    #[test]
    fn methods_that_change_nothing_pass() {
        let other = [("origin", "https://evil.example")];
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(is_taken("~", &method, "shop.example", &other), "{method}");
        }
        let own = Method::from_bytes(b"PURGE").expect("a method");
        assert!(!is_taken("~", &own, "shop.example", &other));
    }

    #[test]
    fn who_says_nothing_may_be_let_in() {
        let args = "{ without_origin: allow }";
        assert!(is_taken(args, &Method::POST, "shop.example", &[]));
        let cross = [("sec-fetch-site", "cross-site")];
        assert!(!is_taken(args, &Method::POST, "shop.example", &cross));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for (args, problem) in [
            ("{ allow: shop.example }", "no URL"),
            ("{ allow: 'https://shop.example/a' }", "a path"),
            ("{ allow: '*' }", "no URL"),
            ("{ without_origin: maybe }", "one of refuse, allow"),
            ("{ token: x }", "unknown key"),
        ] {
            let error = compiled("csrf", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
