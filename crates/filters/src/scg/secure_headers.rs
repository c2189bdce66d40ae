//! `SecureHeaders`: response headers that browsers ask for protection by.

use http::{HeaderName, HeaderValue};
use pailou_config::{ScgArgs, Shortcut};

use super::edit;
use crate::{Edit, ResponseHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "SecureHeaders",
    "enable, disable, permissionsPolicy",
    "Adds headers such as `X-Frame-Options` and `Content-Security-Policy` to responses that lack them; `disable` leaves some out, `enable` adds `permissions-policy`.",
    Shortcut::Fields(&["enable", "disable", "permissionsPolicy"]),
    compile,
);

/// The headers with their values, the property of Spring that holds another value,
/// and whether each is there unless it is asked for.
const HEADERS: &[(&str, &str, &str, bool)] = &[
    (
        "x-xss-protection",
        "1 ; mode=block",
        "xssProtectionHeader",
        true,
    ),
    (
        "strict-transport-security",
        "max-age=631138519",
        "strictTransportSecurity",
        true,
    ),
    ("x-frame-options", "DENY", "frameOptions", true),
    (
        "x-content-type-options",
        "nosniff",
        "contentTypeOptions",
        true,
    ),
    ("referrer-policy", "no-referrer", "referrerPolicy", true),
    (
        "content-security-policy",
        "default-src 'self' https:; font-src 'self' https: data:; img-src 'self' https: data:; object-src 'none'; script-src https:; style-src 'self' https: 'unsafe-inline'",
        "contentSecurityPolicy",
        true,
    ),
    ("x-download-options", "noopen", "downloadOptions", true),
    (
        "x-permitted-cross-domain-policies",
        "none",
        "permittedCrossDomainPolicies",
        true,
    ),
    (
        "permissions-policy",
        "accelerometer=(), ambient-light-sensor=(), autoplay=(), battery=(), camera=(), cross-origin-isolated=(), display-capture=(), document-domain=(), encrypted-media=(), execution-while-not-rendered=(), execution-while-out-of-viewport=(), fullscreen=(), geolocation=(), gyroscope=(), keyboard-map=(), magnetometer=(), microphone=(), midi=(), navigation-override=(), payment=(), picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), sync-xhr=(), usb=(), web-share=(), xr-spatial-tracking=()",
        "permissionsPolicy",
        false,
    ),
];

/// Values can be set by the names that they have in Spring's properties, too.
#[derive(Debug)]
struct SecureHeaders(Vec<(HeaderName, HeaderValue)>);

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let enabled = named(args, "enable")?;
    let disabled = named(args, "disable")?;
    let mut headers = Vec::new();
    let mut is_legal = true;
    for (name, value, property, is_default) in HEADERS {
        let own = args.get(property);
        let is_there = (*is_default || enabled.contains(name)) && !disabled.contains(name);
        let text = own.as_ref().map_or(*value, |arg| arg.text());
        match HeaderValue::from_str(text) {
            Ok(value) if is_there => headers.push((HeaderName::from_static(name), value)),
            Ok(_) => {}
            Err(_) => {
                is_legal = false;
                if let Some(arg) = own {
                    arg.fault(format!("{} is not a header value", arg.quoted()));
                }
            }
        }
    }
    if !is_legal {
        return None;
    }
    edit(SecureHeaders(headers))
}

/// The names of headers in a list.
fn named(args: &ScgArgs<'_>, list: &str) -> Option<Vec<&'static str>> {
    let mut names = Vec::new();
    let items = args.list(list);
    for item in &items {
        let wanted = item.text().to_ascii_lowercase();
        let known = HEADERS.iter().find(|(name, ..)| *name == wanted);
        let Some((name, ..)) = known else {
            let all: Vec<_> = HEADERS.iter().map(|(name, ..)| *name).collect();
            item.fault_expected(
                format!("{} is not a header of this filter", item.quoted()),
                format!("one of {}", all.join(", ")),
            );
            continue;
        };
        names.push(*name);
    }
    (names.len() == items.len()).then_some(names)
}

impl Edit for SecureHeaders {
    fn response(&self, head: &mut ResponseHead<'_>) {
        for (name, value) in &self.0 {
            if !head.headers.contains_key(name) {
                head.headers.insert(name, value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scg::testing::{answered, bound, edit, headers};

    #[test]
    fn what_the_service_says_itself_stays() {
        let step = edit("SecureHeaders", "~", &[]).expect("legal");
        let before = headers(&[
            ("x-frame-options", "SAMEORIGIN"),
            ("content-security-policy", "x"),
        ]);
        let (_, after) = answered(&*step, &bound(&[]), 200, before);
        assert_eq!(after.len(), 8);
        assert_eq!(after["x-frame-options"], "SAMEORIGIN");
        assert_eq!(after["content-security-policy"], "x");
        assert_eq!(after["x-xss-protection"], "1 ; mode=block");
        assert_eq!(after["strict-transport-security"], "max-age=631138519");
        assert!(!after.contains_key("permissions-policy"));
    }

    #[test]
    fn a_route_may_leave_some_out_and_set_others() {
        let args = "{ disable: [x-frame-options, Strict-Transport-Security], enable: [permissions-policy], permissions-policy: 'geolocation=()', referrer-policy: same-origin }";
        let step = edit("SecureHeaders", args, &[]).expect("legal");
        let (_, after) = answered(&*step, &bound(&[]), 200, headers(&[]));
        assert_eq!(after.len(), 7);
        assert_eq!(after["permissions-policy"], "geolocation=()");
        assert_eq!(after["referrer-policy"], "same-origin");
        assert!(!after.contains_key("x-frame-options"));
        assert!(!after.contains_key("strict-transport-security"));
    }

    #[test]
    fn an_unknown_header_is_refused() {
        let error = edit("SecureHeaders", "{ disable: x-frames }", &[]).expect_err("unknown");
        assert!(error.contains("one of x-xss-protection"), "{error}");
    }
}
