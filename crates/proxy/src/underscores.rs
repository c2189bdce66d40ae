//! Header names with an underscore.
//!
//! CGI, WSGI and the like make one variable of `X_Forwarded_For` and
//! `X-Forwarded-For`. A client that may send the first spelling could forge the
//! second. So nginx and this gateway drop such names unless a setting says otherwise.

use http::{HeaderMap, HeaderName};
use pailou_config::{ForwardedSettings, Underscores};

/// Names that only the gateway, or a proxy that it trusts, may give. The file that
/// writes a name says what it is for.
const OWN: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-client-cert-san",
    "x-client-cert-subject",
    "x-request-id",
];

/// What becomes of such names.
#[derive(Debug)]
pub(crate) struct Rule {
    underscores: Underscores,
    /// What only trusted proxies may say.
    claims: Vec<String>,
}

/// The request has such a name, and is refused for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl Rule {
    pub(crate) fn new(settings: &ForwardedSettings) -> Rule {
        Rule {
            underscores: settings.underscores,
            claims: settings.claims.clone(),
        }
    }

    /// Removes the names from a request's head that it may not have. Cost: a look at
    /// each name.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) -> Result<(), Refused> {
        if !headers.keys().any(has_underscore) {
            return Ok(());
        }
        let goes: fn(&Rule, &HeaderName) -> bool = match self.underscores {
            Underscores::Refuse => return Err(Refused),
            Underscores::Drop => |_, _| true,
            Underscores::Keep => Rule::passes_for_another,
        };
        let names = headers.keys().filter(|name| has_underscore(name));
        let names: Vec<HeaderName> = names.filter(|name| goes(self, name)).cloned().collect();
        for name in &names {
            headers.remove(name);
        }
        Ok(())
    }

    /// Whether the name, with dashes, is one that a client may not give.
    fn passes_for_another(&self, name: &HeaderName) -> bool {
        let dashed = name.as_str().replace('_', "-");
        dashed.starts_with("x-forwarded-")
            || OWN.contains(&&*dashed)
            || self.claims.contains(&dashed)
    }
}

fn has_underscore(name: &HeaderName) -> bool {
    name.as_str().as_bytes().contains(&b'_')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn left(underscores: Underscores, names: &[&'static str]) -> Result<Vec<String>, Refused> {
        let settings = ForwardedSettings {
            underscores,
            ..ForwardedSettings::default()
        };
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(*name, HeaderValue::from_static("1"));
        }
        Rule::new(&settings).apply(&mut headers)?;
        Ok(headers.keys().map(ToString::to_string).collect())
    }

    #[test]
    fn names_with_underscores_are_dropped_kept_or_refused() {
        let names = [
            "user_id",
            "user-id",
            "x_forwarded_for",
            "x-forwarded_for",
            "x_real_ip",
            "x_request_id",
        ];
        let text = |names: &[&str]| Ok(names.iter().map(ToString::to_string).collect());
        assert_eq!(left(Underscores::Drop, &names), text(&["user-id"]));
        assert_eq!(
            left(Underscores::Keep, &names),
            text(&["user_id", "user-id"]),
            "nobody forges what a proxy says"
        );
        assert_eq!(left(Underscores::Refuse, &names), Err(Refused));
        assert_eq!(left(Underscores::Refuse, &["user-id"]), text(&["user-id"]));
    }
}
