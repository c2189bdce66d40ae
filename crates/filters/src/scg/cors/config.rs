//! One configuration of CORS, as Spring's `CorsConfiguration` reads it.

use http::HeaderValue;
use pailou_config::{Field, ScgArg, ScgArgs, Shortcut};

use super::Allowed;

/// What is allowed, compiled.
#[derive(Debug)]
pub(super) struct Config {
    origins: Vec<String>,
    patterns: Vec<OriginPattern>,
    any_origin: bool,
    /// The allowed methods as they are told; `None` for any.
    methods: Option<Vec<String>>,
    headers: Vec<String>,
    pub(super) exposed: Option<HeaderValue>,
    pub(super) credentials: bool,
    /// In seconds.
    pub(super) max_age: Option<u64>,
}

/// Spring's defaults where no method is named.
const DEFAULT_METHODS: [&str; 2] = ["GET", "HEAD"];

const ALL: &str = "*";

impl Config {
    pub(super) fn read(field: &Field<'_>) -> Option<Config> {
        let args = ScgArgs::read(field, Shortcut::Fields(&[]))?;
        let texts = |name| -> Vec<String> {
            let items = args.list(name);
            items
                .iter()
                .map(|arg| arg.text().trim().to_owned())
                .collect()
        };
        let origins = texts("allowedOrigins");
        let patterns = texts("allowedOriginPatterns");
        let methods = texts("allowedMethods");
        let credentials = args.get("allowCredentials");
        let credentials = match &credentials {
            Some(flag) => flag.boolean()?,
            None => false,
        };
        let exposed = joined(&args.list("exposedHeaders"), ", ")?;
        let max_age = match args.get("maxAge") {
            Some(age) => Some(seconds(&age)?),
            None => None,
        };
        if let Some(private) = args.get("allowPrivateNetwork")
            && private.boolean()?
        {
            private.fault("`Access-Control-Allow-Private-Network` is not served");
            return None;
        }
        let headers = texts("allowedHeaders");
        args.finish();
        let any_origin = origins.iter().any(|origin| origin == ALL);
        if any_origin && credentials {
            field.fault_expected(
                "credentials cannot be allowed to every origin: no browser takes `*` with them, and Spring answers 500",
                "`allowedOriginPatterns: '*'` in the place of `allowedOrigins: '*'`",
            );
            return None;
        }
        let is_any = |methods: &[String]| methods.iter().any(|method| method == ALL);
        Some(Config {
            any_origin,
            origins: origins
                .iter()
                .map(|origin| trimmed(origin).to_owned())
                .collect(),
            patterns: patterns
                .iter()
                .map(|text| OriginPattern::parse(trimmed(text)))
                .collect(),
            methods: match methods {
                methods if is_any(&methods) => None,
                methods if methods.is_empty() => Some(DEFAULT_METHODS.map(str::to_owned).to_vec()),
                methods => Some(methods),
            },
            headers,
            exposed,
            credentials,
            max_age,
        })
    }

    /// The same of a route's own settings.
    pub(super) fn of(allowed: Allowed) -> Option<Config> {
        let is_any = |texts: &[String]| texts.iter().any(|text| text == ALL);
        let exposed = allowed.exposed.join(", ");
        Some(Config {
            any_origin: is_any(&allowed.origins),
            origins: Vec::new(),
            patterns: allowed
                .origins
                .iter()
                .map(|text| OriginPattern::parse(text))
                .collect(),
            methods: (!is_any(&allowed.methods)).then_some(allowed.methods),
            headers: allowed.headers,
            exposed: match exposed.is_empty() {
                true => None,
                false => Some(HeaderValue::from_str(&exposed).ok()?),
            },
            credentials: allowed.credentials,
            max_age: allowed.max_age.map(|age| age.as_secs()),
        })
    }

    /// The origin that the answer names.
    pub(super) fn origin(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        let text = trimmed(origin.to_str().ok()?);
        if text.is_empty() {
            return None;
        }
        if self.any_origin {
            return Some(HeaderValue::from_static(ALL));
        }
        let is_listed = self
            .origins
            .iter()
            .any(|known| known.eq_ignore_ascii_case(text));
        let is_allowed = is_listed || self.patterns.iter().any(|pattern| pattern.matches(text));
        is_allowed.then(|| origin.clone())
    }

    /// The methods that the answer names, if this one is among them.
    pub(super) fn methods(&self, method: &str) -> Option<HeaderValue> {
        let Some(methods) = &self.methods else {
            return HeaderValue::from_str(method).ok();
        };
        let is_allowed = methods.iter().any(|known| known == method);
        is_allowed.then(|| HeaderValue::from_str(&methods.join(",")).ok())?
    }

    /// The headers that the answer names: those that are asked for and allowed.
    /// None at all where none is allowed; none to name where none is asked for.
    pub(super) fn headers(&self, asked: &[&str]) -> Option<Option<HeaderValue>> {
        if asked.is_empty() {
            return Some(None);
        }
        let is_allowed = |name: &&&str| {
            let mut known = self.headers.iter();
            known.any(|known| known == ALL || known.eq_ignore_ascii_case(name))
        };
        let allowed: Vec<&str> = asked.iter().filter(is_allowed).copied().collect();
        if allowed.is_empty() {
            return None;
        }
        Some(HeaderValue::from_str(&allowed.join(", ")).ok())
    }
}

fn trimmed(origin: &str) -> &str {
    origin.strip_suffix('/').unwrap_or(origin)
}

fn joined(items: &[ScgArg<'_>], separator: &str) -> Option<Option<HeaderValue>> {
    let texts: Vec<_> = items.iter().map(|arg| arg.text().trim()).collect();
    let Some(first) = items.first() else {
        return Some(None);
    };
    let value = HeaderValue::from_str(&texts.join(separator)).ok();
    if value.is_none() {
        first.fault("not names of headers");
    }
    value.map(Some)
}

/// A number of seconds, or a duration with its unit.
fn seconds(arg: &ScgArg<'_>) -> Option<u64> {
    match arg.text().trim().parse() {
        Ok(seconds) => Some(seconds),
        Err(_) => arg.duration().map(|duration| duration.as_secs()),
    }
}

/// `https://*.acme.test:[8080,8443]`: `*` is any text; a list of ports, or `[*]`
/// for any or none, may stand at the end. Case matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OriginPattern {
    text: String,
    ports: Ports,
}

#[derive(Debug, PartialEq, Eq)]
enum Ports {
    /// None but what the text says.
    Said,
    Any,
    Listed(Vec<String>),
}

impl OriginPattern {
    pub(super) fn parse(text: &str) -> OriginPattern {
        let listed = text
            .strip_suffix(']')
            .and_then(|text| text.rsplit_once(":["));
        let is_number =
            |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let (text, ports) = match listed {
            Some((text, ALL)) => (text, Ports::Any),
            Some((text, ports)) if ports.split(',').all(is_number) => (
                text,
                Ports::Listed(ports.split(',').map(str::to_owned).collect()),
            ),
            _ => (text, Ports::Said),
        };
        OriginPattern {
            text: text.to_owned(),
            ports,
        }
    }

    pub(super) fn matches(&self, origin: &str) -> bool {
        let (host, port) = match origin.rsplit_once(':') {
            Some((host, port)) if !port.starts_with('/') => (host, Some(port)),
            _ => (origin, None),
        };
        let is_number =
            |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        match &self.ports {
            Ports::Said => stars(&self.text, origin),
            Ports::Any => match port {
                Some(port) if is_number(port) => {
                    stars(&self.text, host) || stars(&self.text, origin)
                }
                _ => stars(&self.text, origin),
            },
            Ports::Listed(ports) => {
                let is_listed = |port: &str| ports.iter().any(|known| known == port);
                port.is_some_and(is_listed) && stars(&self.text, host)
            }
        }
    }
}

/// Whether a text is what a pattern says, in which each star is any text.
fn stars(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.len() >= last.len() && text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_match_patterns() {
        for (pattern, origin, matches) in [
            ("https://*.acme.test", "https://a.acme.test", true),
            ("https://*.acme.test", "https://a.b.acme.test", true),
            ("https://*.acme.test", "https://acme.test", false),
            ("https://*.acme.test", "https://a.acme.test:8443", false),
            ("https://*.acme.test", "https://A.ACME.test", false),
            ("https://*.acme.test", "http://a.acme.test", false),
            (
                "https://*.acme.test:[8080,8443]",
                "https://a.acme.test:8443",
                true,
            ),
            (
                "https://*.acme.test:[8080,8443]",
                "https://a.acme.test:84",
                false,
            ),
            (
                "https://*.acme.test:[8080,8443]",
                "https://a.acme.test",
                false,
            ),
            ("https://*.acme.test:[*]", "https://a.acme.test", true),
            ("https://*.acme.test:[*]", "https://a.acme.test:1", true),
            ("https://*.acme.test:[*]", "https://a.acme.test:x", false),
            ("http://localhost:*", "http://localhost:5173", true),
            ("*", "null", true),
            ("*//*.a*b", "https://x.ab", true),
            ("https://a.test", "https://a.test", true),
            ("https://a.test", "https://a.test.evil", false),
        ] {
            let parsed = OriginPattern::parse(pattern);
            assert_eq!(parsed.matches(origin), matches, "{pattern} on {origin}");
        }
    }
}
