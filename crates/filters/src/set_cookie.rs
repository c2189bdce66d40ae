//! Cookies of the gateway's own: their attributes, and what browsers demand of them (RFC 6265bis).

use std::time::Duration;

use http::HeaderValue;
use pailou_config::Field;

/// The longest that a browser keeps a cookie (RFC 6265bis section 5.5).
pub(crate) const MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Whether a browser sends a cookie with requests that other sites cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SameSite {
    Strict,
    Lax,
    None,
}

impl SameSite {
    pub(crate) const NAMES: &'static [(&'static str, SameSite)] = &[
        ("strict", SameSite::Strict),
        ("lax", SameSite::Lax),
        ("none", SameSite::None),
    ];

    fn text(self) -> &'static str {
        match self {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        }
    }
}

/// A cookie but for its value. No script can read it: it is always `HttpOnly`.
#[derive(Clone, Debug)]
pub(crate) struct SetCookie {
    name: String,
    path: String,
    same_site: SameSite,
    max_age: Option<Duration>,
}

impl SetCookie {
    /// A cookie of that name, whose legality [`name`] and [`path`] have checked. `None`, with a fault, if a browser would drop it.
    pub(crate) fn new(
        name: String,
        path: String,
        same_site: SameSite,
        max_age: Option<Duration>,
        field: &Field<'_>,
    ) -> Option<SetCookie> {
        // Section 4.1.3.2. Browsers do not look at the case of the prefix.
        if has_prefix(&name, "__host-") && path != "/" {
            field.fault("a cookie whose name begins with `__Host-` has the path `/`");
            return None;
        }
        Some(SetCookie {
            name,
            path,
            same_site,
            max_age,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The header that sets it to a value of characters that need no quotes. With `over_tls`, or where a browser demands it, it goes over
    /// TLS only.
    pub(crate) fn set(&self, value: &str, over_tls: bool) -> Option<HeaderValue> {
        let SetCookie { name, path, .. } = self;
        let mut text = format!("{name}={value}; Path={path}");
        if let Some(age) = self.max_age {
            text.push_str(&format!("; Max-Age={}", age.as_secs()));
        }
        text.push_str("; HttpOnly; SameSite=");
        text.push_str(self.same_site.text());
        if over_tls || self.needs_tls() {
            text.push_str("; Secure");
        }
        HeaderValue::try_from(text).ok()
    }

    /// Section 5.7, steps 14 and 20: without `Secure` a browser drops it.
    fn needs_tls(&self) -> bool {
        self.same_site == SameSite::None
            || has_prefix(&self.name, "__host-")
            || has_prefix(&self.name, "__secure-")
    }
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    let head = name.get(..prefix.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Reads the name of a cookie: a token (RFC 9110 section 5.6.2).
pub(crate) fn name(field: &Field<'_>) -> Option<String> {
    let text = field.string()?;
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 128 || !text.bytes().all(is_tchar) {
        field.fault_expected("not the name of a cookie", "letters, digits, `-` and `_`");
        return None;
    }
    Some(text)
}

/// Reads the path of a cookie.
pub(crate) fn path(field: &Field<'_>) -> Option<String> {
    let text = field.string()?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    if !text.starts_with('/') || text.len() > 1024 || !text.bytes().all(is_plain) {
        field.fault_expected("not the path of a cookie", "a path that begins with `/`");
        return None;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_has_what_browsers_demand_of_it() {
        let cookie = |name: &str, same_site, seconds: Option<u64>| SetCookie {
            name: name.to_owned(),
            path: "/".to_owned(),
            same_site,
            max_age: seconds.map(Duration::from_secs),
        };
        for (cookie, over_tls, expected) in [
            (
                cookie("a", SameSite::Lax, None),
                false,
                "a=v; Path=/; HttpOnly; SameSite=Lax",
            ),
            (
                cookie("a", SameSite::Strict, Some(60)),
                true,
                "a=v; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure",
            ),
            (
                cookie("a", SameSite::None, None),
                false,
                "a=v; Path=/; HttpOnly; SameSite=None; Secure",
            ),
            (
                cookie("__Host-a", SameSite::Lax, None),
                false,
                "__Host-a=v; Path=/; HttpOnly; SameSite=Lax; Secure",
            ),
            (
                cookie("__secure-a", SameSite::Lax, None),
                false,
                "__secure-a=v; Path=/; HttpOnly; SameSite=Lax; Secure",
            ),
        ] {
            assert_eq!(cookie.set("v", over_tls).expect("legal"), expected);
        }
    }
}
