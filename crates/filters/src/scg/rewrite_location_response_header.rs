//! `RewriteLocationResponseHeader`: a redirect of the service leads to the gateway.

use http::uri::Authority;
use http::{HeaderName, HeaderValue, header};
use pailou_config::{ScgArg, ScgArgs, Shortcut};

use super::{edit, fields};
use crate::{Edit, JavaRegex, Next, RequestHead, ResponseHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RewriteLocationResponseHeader",
    "stripVersion (AS_IN_REQUEST), locationHeaderName (Location), hostValue, protocols",
    "Puts the request's host, or `hostValue`, in the place of the host in a URL that the service names, and takes away `/v1` if the request's path has no version.",
    Shortcut::Fields(&[
        "stripVersion",
        "locationHeaderName",
        "hostValue",
        "protocols",
    ]),
    compile,
);

/// What Spring takes for a URL unless it is told.
const PROTOCOLS: &str = "https?|ftps?";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StripVersion {
    Never,
    AsInRequest,
    Always,
}

const STRIP_VERSION: &[(&str, StripVersion)] = &[
    ("NEVER_STRIP", StripVersion::Never),
    ("AS_IN_REQUEST", StripVersion::AsInRequest),
    ("ALWAYS_STRIP", StripVersion::Always),
];

#[derive(Debug)]
struct RewriteLocation {
    strip: StripVersion,
    header: HeaderName,
    host: Option<HeaderValue>,
    /// A URL: what is in front of the host, and what is behind the port.
    url: JavaRegex,
    /// The same, but what is behind begins after a version.
    versioned_url: JavaRegex,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let strip = match args.get("stripVersion") {
        Some(strip) => strip.one_of(STRIP_VERSION),
        None => Some(StripVersion::AsInRequest),
    };
    let header = match args.get("locationHeaderName") {
        Some(name) => fields::response_name(&name),
        None => Some(header::LOCATION),
    };
    let host = match args.get("hostValue") {
        Some(host) => Some(Some(host_value(&host)?)),
        None => Some(None),
    };
    let protocols = args.get("protocols");
    let text = protocols.as_ref().map_or(PROTOCOLS, |arg| arg.text());
    let compile = |version: &str| {
        JavaRegex::anywhere(&format!("^((?:{text})://)[^:/]+(?::\\d+)?{version}(/.*)$"))
    };
    let (url, versioned_url) = match (compile(""), compile("(?:/v\\d+)?")) {
        (Ok(url), Ok(versioned)) => (url, versioned),
        (Err(error), _) | (_, Err(error)) => {
            if let Some(protocols) = protocols {
                protocols.fault(error.to_string());
            }
            return None;
        }
    };
    edit(RewriteLocation {
        strip: strip?,
        header: header?,
        host: host?,
        url,
        versioned_url,
    })
}

fn host_value(arg: &ScgArg<'_>) -> Option<HeaderValue> {
    let value = HeaderValue::from_str(arg.text()).ok();
    let value = value.filter(|_| Authority::try_from(arg.text()).is_ok());
    if value.is_none() {
        arg.fault_expected(
            format!("{} is not a host", arg.quoted()),
            "a host name, and a port perhaps",
        );
    }
    value
}

/// Whether a path begins with a version (`^/v\d+/.*$`).
fn is_versioned(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/v") else {
        return false;
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && rest.as_bytes().get(digits) == Some(&b'/')
}

/// Whether the path of the request, as it was when it passed this filter, has a
/// version.
struct IsVersioned(bool);

impl RewriteLocation {
    fn rewritten(&self, head: &ResponseHead<'_>) -> Option<HeaderValue> {
        let location = head.headers.get(&self.header)?.to_str().ok()?;
        let host = self.host.as_ref().unwrap_or(&head.facts.host);
        let note = head.note.and_then(|note| note.downcast_ref());
        let strips = match self.strip {
            StripVersion::Never => false,
            StripVersion::Always => true,
            StripVersion::AsInRequest => matches!(note, Some(IsVersioned(false))),
        };
        let url = match strips {
            true => &self.versioned_url,
            false => &self.url,
        };
        // Groups of `protocols` may lie between.
        let groups = url.captures(location)?;
        let (before, after) = (*groups.first()?, *groups.last()?);
        let made = [before?.as_bytes(), host.as_bytes(), after?.as_bytes()].concat();
        HeaderValue::from_bytes(&made).ok()
    }
}

impl Edit for RewriteLocation {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        if self.strip == StripVersion::AsInRequest {
            head.effects.note = Some(Box::new(IsVersioned(is_versioned(&head.path))));
        }
        Next::Continue
    }

    fn response(&self, head: &mut ResponseHead<'_>) {
        if let Some(location) = self.rewritten(head) {
            head.headers.insert(&self.header, location);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use crate::scg::testing::{answered_to, bound, edit, headers};

    fn location(args: &str, path: &str, header: &'static str, location: &str) -> String {
        let step = edit("RewriteLocationResponseHeader", args, &[]).expect(args);
        let mut facts = bound(&[]);
        facts.host = HeaderValue::from_static("l0.test:81");
        let (_, after) = answered_to(&*step, &facts, path, 201, headers(&[(header, location)]));
        after[header].to_str().expect("ASCII").to_owned()
    }

    #[test]
    fn a_url_of_the_service_becomes_one_of_the_gateway() {
        for (args, path, before, after) in [
            (
                "~",
                "/some/obj",
                "http://up.example:80/v2/some/obj",
                "http://l0.test:81/some/obj",
            ),
            (
                "~",
                "/some/obj",
                "https://up.example/v1",
                "https://l0.test:81/v1",
            ),
            ("~", "/some/obj", "https://up.example", "https://up.example"),
            ("~", "/some/obj", "/rel/v2/x", "/rel/v2/x"),
            (
                "~",
                "/v1/some",
                "http://up/v2/some/1",
                "http://l0.test:81/v2/some/1",
            ),
            ("~", "/v1", "ftp://up/v2/some/1", "ftp://l0.test:81/some/1"),
            (
                "'NEVER_STRIP, Location, , '",
                "/x",
                "http://up/v2/x",
                "http://l0.test:81/v2/x",
            ),
            (
                "ALWAYS_STRIP",
                "/v1/x",
                "http://up:80/v2/x",
                "http://l0.test:81/x",
            ),
            (
                "ALWAYS_STRIP",
                "/v1/x",
                "http://up/v2x/y",
                "http://l0.test:81/v2x/y",
            ),
        ] {
            assert_eq!(
                location(args, path, "location", before),
                after,
                "{args}: {before}"
            );
        }
    }

    #[test]
    fn header_host_and_protocols_may_be_others() {
        let args = "{ stripVersion: AS_IN_REQUEST, locationHeaderName: X-Loc, hostValue: 'fixed.test:8', protocols: '(https)' }";
        for (before, after) in [
            ("https://up.example/v1", "https://fixed.test:8/v1"),
            ("http://up.example/v1/x", "http://up.example/v1/x"),
        ] {
            assert_eq!(location(args, "/x", "x-loc", before), after);
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for (args, problem) in [
            ("SOMETIMES", "NEVER_STRIP"),
            ("{ protocols: '(' }", "not a Java regular expression"),
            ("{ hostValue: 'a b' }", "is not a host"),
        ] {
            let error = edit("RewriteLocationResponseHeader", args, &[]).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
