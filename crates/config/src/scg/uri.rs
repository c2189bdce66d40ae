//! `uri`: where a route's requests go.

use std::collections::BTreeMap;

use crate::{
    field::{Field, quote},
    upstream_url::UpstreamUrl,
};

const EXPECTED: &str =
    "lb://SERVICE, http(s)://HOST:PORT, ws(s)://HOST:PORT, forward:/PATH or no://op";

/// Where a `uri` leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Uri {
    /// A service that Nacos lists.
    Service(String),
    /// Whoever is at a URL.
    Url(UpstreamUrl),
    /// The route that takes this path.
    Forward(String),
    /// Nowhere: a filter answers.
    Nowhere,
}

/// Reads a `uri`, with scheme aliases of `gateway.yaml`. What is ignored of it is warned of; what is wrong is a fault.
pub(super) fn read(field: &Field<'_>, aliases: &BTreeMap<String, &'static str>) -> Option<Uri> {
    let text = field.string()?;
    let text = text.trim();
    let wrong = |problem: &str| {
        // Where a user may stand, so may a password.
        let shown = match text.contains('@') {
            true => "the uri".to_owned(),
            false => quote(text),
        };
        let cure = match text.contains("${") {
            true => "; a placeholder needs its name in scg.placeholders of gateway.yaml",
            false => "",
        };
        field.fault_expected(format!("{shown}: {problem}{cure}"), EXPECTED);
        None
    };
    let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return wrong("no scheme");
    };
    let alias = aliases
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(scheme));
    let scheme = alias.map_or_else(
        || scheme.to_ascii_lowercase(),
        |(_, meant)| (*meant).to_owned(),
    );
    match scheme.as_str() {
        "lb" => match service(rest, field) {
            Ok(name) => Some(Uri::Service(name)),
            Err(problem) => wrong(problem),
        },
        "http" | "https" | "ws" | "wss" => match url(&scheme, rest, field) {
            Ok(url) => Some(Uri::Url(url)),
            Err(problem) => wrong(problem),
        },
        "forward" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let (path, ignored) = cut(path, &['?', '#']);
            if !ignored.is_empty() {
                warn_of(field, ignored);
            }
            match path.starts_with('/') {
                true => Some(Uri::Forward(path.to_owned())),
                false => wrong("no path that begins with `/`"),
            }
        }
        "no" => Some(Uri::Nowhere),
        // What stands before the colon of `localhost:8080` is no scheme either.
        _ if rest.starts_with(|c: char| c.is_ascii_digit()) => wrong("no scheme"),
        _ => wrong(&format!(
            "an unknown scheme; one of your own goes into scg.schemes in gateway.yaml, such as `{scheme}: lb`"
        )),
    }
}

fn is_scheme(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(is_part)
}

/// `//svc`, or `ws://svc` behind `lb:`.
fn service(rest: &str, field: &Field<'_>) -> Result<String, &'static str> {
    let rest = match rest.split_once("://") {
        Some((inner, rest)) if !inner.is_empty() => {
            match inner.to_ascii_lowercase().as_str() {
                "https" | "wss" => field.warn(format!(
                    "`{inner}` behind `lb:` is ignored: an instance says by its metadata (`secure: \"true\"`) that it speaks TLS"
                )),
                "http" | "ws" => {}
                _ => return Err("no scheme that may stand behind `lb:`"),
            }
            rest
        }
        _ => rest
            .strip_prefix("//")
            .ok_or("no `//` before the service")?,
    };
    let (authority, ignored) = cut(rest, &['/', '?', '#']);
    if !ignored.is_empty() && ignored != "/" {
        warn_of(field, ignored);
    }
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            field.warn(format!(
                "the port in `{authority}` is ignored: instances have their own"
            ));
            name
        }
        _ => authority,
    };
    match name.is_empty() {
        true => Err("no name of a service"),
        false => Ok(name.to_owned()),
    }
}

fn url(scheme: &str, rest: &str, field: &Field<'_>) -> Result<UpstreamUrl, &'static str> {
    let rest = rest.strip_prefix("//").ok_or("no `//` behind the scheme")?;
    let (authority, ignored) = cut(rest, &['/', '?', '#']);
    if !ignored.is_empty() && ignored != "/" {
        warn_of(field, ignored);
    }
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => {
            field.warn("the user in the uri is ignored, as by Spring");
            host
        }
        None => authority,
    };
    let scheme = match scheme {
        "ws" | "wss" => {
            field.warn("a request that asks for no upgrade is forwarded too; Spring answers 400");
            if scheme == "ws" { "http" } else { "https" }
        }
        other => other,
    };
    UpstreamUrl::parse(&format!("{scheme}://{authority}"))
}

/// Cuts a text before the first of some characters.
fn cut<'t>(text: &'t str, at: &[char]) -> (&'t str, &'t str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}

fn warn_of(field: &Field<'_>, ignored: &str) {
    let shown = quote(ignored);
    field.warn(format!(
        "{shown} of the uri is ignored, as by Spring: the request's path is sent"
    ));
}

#[cfg(test)]
mod tests;
