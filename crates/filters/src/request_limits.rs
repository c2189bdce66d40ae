//! Refuses requests that are too large for their route.

use http::header::CONTENT_LENGTH;
use pailou_config::Field;

use crate::{Edit, Next, Refusal, RequestHead, header, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::edit(
    "request_limits",
    "{ body_bytes: 1MiB, header_bytes: 8KiB }",
    "Refuses a request whose body is longer, as 413, by its length or while it streams, or whose headers together are, as 431.",
    compile,
);

/// The limits of the listeners hold before these. What the gateway writes itself is not counted.
#[derive(Debug)]
struct RequestLimits {
    body_bytes: Option<u64>,
    header_bytes: Option<u64>,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    let mut fields = field.mapping()?;
    let body_bytes = fields
        .optional("body_bytes")
        .map(|size| size.size(0..=1 << 40));
    let header_bytes = fields
        .optional("header_bytes")
        .map(|size| size.size(64..=1 << 20));
    fields.finish();
    if body_bytes.is_none() && header_bytes.is_none() {
        field.fault_expected(
            "nothing is limited",
            "`body_bytes`, `header_bytes`, or both",
        );
        return None;
    }
    Some(Box::new(RequestLimits {
        body_bytes: body_bytes.map_or(Some(None), |size| size.map(Some))?,
        header_bytes: header_bytes.map_or(Some(None), |size| size.map(Some))?,
    }))
}

impl Edit for RequestLimits {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        if let Some(most) = self.header_bytes {
            let own = head.headers.iter();
            let own = own.filter(|(name, _)| !header::is_told_by_the_gateway(name));
            let bytes: usize = own
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum();
            if bytes as u64 > most {
                return Next::Refuse(Refusal::HeadersTooLarge);
            }
        }
        let Some(most) = self.body_bytes else {
            return Next::Continue;
        };
        let length = head.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > most) {
            return Next::Refuse(Refusal::BodyTooLarge);
        }
        let before = head.effects.max_body_bytes;
        head.effects.max_body_bytes = Some(before.map_or(most, |before| before.min(most)));
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::registry::tests::{compiled, request_head};

    #[test]
    fn what_is_longer_is_refused() {
        let edit =
            compiled("request_limits", "{ body_bytes: 10, header_bytes: 64 }").expect("legal");
        let ask = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().expect("a value"));
            }
            let mut head = request_head("/", &mut headers);
            let next = edit.request(&mut head);
            (next, head.effects.max_body_bytes)
        };
        let long = "x".repeat(60);
        assert!(matches!(
            ask(&[("content-length", "10")]),
            (Next::Continue, Some(10))
        ));
        assert!(matches!(ask(&[]), (Next::Continue, Some(10))));
        let (next, _) = ask(&[("content-length", "11")]);
        assert!(
            matches!(next, Next::Refuse(Refusal::BodyTooLarge)),
            "{next:?}"
        );
        let (next, _) = ask(&[("x-a", &long), ("x-b", "c")]);
        assert!(
            matches!(next, Next::Refuse(Refusal::HeadersTooLarge)),
            "{next:?}"
        );
        let (next, _) = ask(&[("x-forwarded-host", &long), ("x-b", "c")]);
        assert!(
            matches!(next, Next::Continue),
            "the gateway wrote it: {next:?}"
        );
        for yaml in [
            "{}",
            "{ header_bytes: 1 }",
            "{ body_bytes: x }",
            "{ bytes: 1 }",
        ] {
            compiled("request_limits", yaml).expect_err(yaml);
        }
    }
}
