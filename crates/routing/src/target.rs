//! The request target: one parse decides what is matched and what is forwarded.
//!
//! If a gateway matches one spelling of a path and forwards another, a client can
//! get around its rules (`/api/..%2fadmin`, `/%61dmin`, `/api/..;/admin`). So
//! there is one policy, here, and its result is both matched and forwarded:
//!
//! - Resolved: dot segments (plain or encoded) and doubled slashes. Slashes are
//!   merged first, then dot segments go, as nginx does.
//! - Respelled: encoded unreserved characters (`%61` is `a`) are decoded, hex
//!   digits are upper-cased, raw characters that RFC 3986 does not allow in a
//!   path (`{`, `é`) are encoded.
//! - Refused, as 400: whatever servers are known to read in two ways. See
//!   [`TargetError`].
//! - Matrix parameters (`;v=1`) are forwarded and cut for matching.
//! - Everything else stays as it is; `%25` stays a literal percent sign, and
//!   is not decoded a second time. The query is kept byte for byte, but for
//!   `"`, `<` and `>`, which no URI has raw: they are encoded.
//!
//! Parsing is idempotent: the forwarded form parses to itself.

use std::borrow::Cow;

use crate::host::Host;
use crate::path;

/// An encoded slash, as the normal form has it.
const ENCODED_SLASH: &str = "%2F";

/// A parsed request target.
///
/// Costs no allocation when the target is already in its normal form and has
/// no matrix parameters.
///
/// ```
/// use pailou_routing::Target;
///
/// let target = Target::parse(b"/api/./%75sers;v=1//7?q=%zz").expect("a legal target");
/// assert_eq!(target.path(), "/api/users/7");
/// assert_eq!(target.forwarded_path(), "/api/users;v=1/7");
/// assert_eq!(target.query(), Some("q=%zz"));
///
/// assert!(Target::parse(b"/api/..%2fadmin").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Path and query as they were sent.
    sent: &'a str,
    authority: Option<Host<'a>>,
    forwarded: Cow<'a, str>,
    has_encoded_slash: bool,
    /// Without matrix parameters; `None` when there are none.
    matched: Option<String>,
    query: Option<Cow<'a, str>>,
}

impl<'a> Target<'a> {
    /// Parses the target of a request line: origin-form (`/a?b`) or
    /// absolute-form with `http` or `https`.
    ///
    /// Never panics. One pass when the target is normal already.
    ///
    /// # Errors
    /// The reason why the target is refused; all of them are the client's
    /// fault and answered with 400.
    pub fn parse(raw: &'a [u8]) -> Result<Target<'a>, TargetError> {
        let raw = std::str::from_utf8(raw).map_err(|_| TargetError::NotUtf8)?;
        let (authority, rest) = split_authority(raw)?;
        let (raw_path, query) = match rest.split_once('?') {
            Some((raw_path, query)) => (raw_path, Some(query)),
            None => (rest, None),
        };
        // In absolute-form the path may be missing (RFC 9112, 3.2.2).
        let raw_path = if raw_path.is_empty() && authority.is_some() {
            "/"
        } else {
            raw_path
        };
        let query = query.map(normal_query).transpose()?;
        let forwarded = path::normalise(raw_path)?;
        let matched = path::without_parameters(&forwarded);
        let has_encoded_slash = forwarded.contains(ENCODED_SLASH);
        Ok(Target {
            sent: rest,
            authority,
            forwarded,
            has_encoded_slash,
            matched,
            query,
        })
    }

    /// Whether every character of it is one that Java's `URI` takes unencoded: those
    /// of RFC 3986, and brackets in a query. What is not is encoded or passed on here,
    /// and refused by Spring Cloud Gateway: braces, `|`, `^`, quotes, and a percent
    /// sign of the query without its digits.
    pub fn is_uri(&self) -> bool {
        let sent = self.sent.as_bytes();
        let mut rest = sent;
        let mut in_query = false;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            in_query |= byte == b'?';
            let is_legal = match byte {
                b'[' | b']' => in_query,
                b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
                b'%' => after.len() >= 2 && after[..2].iter().all(u8::is_ascii_hexdigit),
                _ => true,
            };
            if !is_legal {
                return false;
            }
        }
        true
    }

    /// Whether the path has a `%2F`, which is a character of its segment here and
    /// a separator for some servers. The route decides what becomes of it.
    pub fn has_encoded_slash(&self) -> bool {
        self.has_encoded_slash
    }

    /// The path and query to forward with each `%2F` as the separator it stands
    /// for. It has to be parsed anew.
    pub fn with_slashes(&self) -> String {
        let path = self.forwarded.replace(ENCODED_SLASH, "/");
        match self.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        }
    }

    /// The path that predicates match: normalised, without matrix parameters.
    pub fn path(&self) -> &str {
        self.matched.as_deref().unwrap_or(&self.forwarded)
    }

    /// The path to forward: what [`path`](Target::path) says, with the matrix
    /// parameters that the client sent.
    pub fn forwarded_path(&self) -> &str {
        &self.forwarded
    }

    /// The query without its `?`; an empty one is `Some("")`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The authority of an absolute-form target. It must agree with the Host
    /// header.
    pub fn authority(&self) -> Option<&Host<'a>> {
        self.authority.as_ref()
    }
}

/// Why a request target is refused; the status is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TargetError {
    /// Neither a path that begins with `/` nor an absolute http(s) URL; `*`
    /// and authority-form are among these.
    #[error("the request target is neither a path nor an absolute http URL")]
    Form,
    /// The authority of an absolute-form target is not a host with an optional
    /// port, or has user information.
    #[error("the authority of the request target is not a host")]
    Authority,
    /// A `#`: fragments are never sent, and servers cut at it or do not.
    #[error("the request target has a fragment")]
    Fragment,
    /// A raw space or control character.
    #[error("the request target has a space or a control character")]
    Control,
    /// An encoded NUL or other control character.
    #[error("the path has an encoded control character")]
    EncodedControl,
    /// A raw backslash: some servers take it for a slash.
    #[error("the path has a backslash")]
    Backslash,
    /// `%2F` beside dots: a server that takes it for a separator climbs.
    #[error("the path has a dot segment behind an encoded slash")]
    EncodedSlash,
    /// `%5C`.
    #[error("the path has an encoded backslash")]
    EncodedBackslash,
    /// A percent sign without two hex digits.
    #[error("the path has a percent sign that is not followed by two hex digits")]
    Percent,
    /// The `%u002e` form of some Windows servers.
    #[error("the path has a %u escape")]
    PercentU,
    /// The target is not UTF-8, or its escapes are not; overlong forms are
    /// among these.
    #[error("the request target is not UTF-8")]
    NotUtf8,
    /// More `..` than segments before it.
    #[error("the path climbs above the root")]
    AboveRoot,
    /// A dot segment with matrix parameters (`..;`), which some servers
    /// resolve and others do not.
    #[error("the path has a dot segment with parameters")]
    DotParameters,
    /// A segment before the last that has nothing but matrix parameters, which
    /// some servers take for an empty one.
    #[error("the path has a segment of parameters only")]
    OnlyParameters,
}

impl TargetError {
    /// A constant name for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            TargetError::Form => "target_form",
            TargetError::Authority => "target_authority",
            TargetError::Fragment => "target_fragment",
            TargetError::Control => "target_control",
            TargetError::EncodedControl => "target_encoded_control",
            TargetError::Backslash => "target_backslash",
            TargetError::EncodedSlash => "target_encoded_slash",
            TargetError::EncodedBackslash => "target_encoded_backslash",
            TargetError::Percent => "target_percent",
            TargetError::PercentU => "target_percent_u",
            TargetError::NotUtf8 => "target_not_utf8",
            TargetError::AboveRoot => "target_above_root",
            TargetError::DotParameters => "target_dot_parameters",
            TargetError::OnlyParameters => "target_only_parameters",
        }
    }
}

/// Splits `http://host:port/path` into its host and the rest; a target that
/// begins with `/` has no host.
fn split_authority(raw: &str) -> Result<(Option<Host<'_>>, &str), TargetError> {
    if raw.starts_with('/') {
        return Ok((None, raw));
    }
    let (scheme, rest) = raw.split_once("://").ok_or(TargetError::Form)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(TargetError::Form);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let host = Host::parse(authority.as_bytes()).map_err(|_| TargetError::Authority)?;
    Ok((Some(host), rest))
}

/// The query as it is matched and forwarded. It is refused for what would break
/// the request line or be cut at the next server; it changes only for the
/// three characters that HTTP libraries do not take in one.
fn normal_query(query: &str) -> Result<Cow<'_, str>, TargetError> {
    let mut is_normal = true;
    for byte in query.bytes() {
        match byte {
            0..=b' ' | 0x7F => return Err(TargetError::Control),
            b'#' => return Err(TargetError::Fragment),
            b'"' | b'<' | b'>' => is_normal = false,
            _ => {}
        }
    }
    Ok(match is_normal {
        true => Cow::Borrowed(query),
        false => {
            let encoded = query.replace('"', "%22");
            Cow::Owned(encoded.replace('<', "%3C").replace('>', "%3E"))
        }
    })
}

#[cfg(test)]
mod tests;
