//! Says which pages of other sites may read answers.

use http::{HeaderName, HeaderValue, Method, Uri};
use pailou_config::Field;

use crate::header;
use crate::registry::{Entry, Scope};
use crate::scg::cors::{Allowed, for_every_path};
use crate::{Rule, Step};

pub(crate) const ENTRY: Entry = Entry::steps(
    "cors",
    "{ origins: ['https://shop.example', 'https://*.shop.example'], methods: [GET, POST], headers: [content-type], expose: [x-total], credentials: true, max_age: 1h }",
    "Answers preflights and says in responses which origins a browser may hand them to; a foreign origin is 403. It stands first in the list.",
    compile,
);

/// Methods of requests that a page may make without a preflight.
const SIMPLE: [&str; 3] = ["GET", "HEAD", "POST"];

const MAX_AGES: std::ops::RangeInclusive<std::time::Duration> =
    std::time::Duration::ZERO..=std::time::Duration::from_secs(24 * 60 * 60);

/// The engine is that of Spring's `Cors`; the settings are a route's own, and so for all of its paths.
fn compile(field: &Field<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let origins = fields.required("origins").and_then(|field| {
        let origins = field.each(origin)?;
        if origins.is_empty() {
            field.fault_expected("an empty list", "origins, or `'*'`");
        }
        (!origins.is_empty()).then_some(origins)
    });
    let methods = match fields.optional("methods") {
        Some(methods) => methods.each(method),
        None => Some(SIMPLE.map(str::to_owned).to_vec()),
    };
    let mut names = |key| match fields.optional(key) {
        Some(names) => names.each(name),
        None => Some(Vec::new()),
    };
    let (headers, exposed) = (names("headers"), names("expose"));
    let credentials = match fields.optional("credentials") {
        Some(credentials) => credentials.boolean(),
        None => Some(false),
    };
    let max_age = fields.optional("max_age").map(|age| age.duration(MAX_AGES));
    fields.finish();
    let (origins, credentials) = (origins?, credentials?);
    if credentials && origins.iter().any(|origin| origin == "*") {
        field.fault_expected(
            "credentials cannot be allowed to every origin: no browser takes `*` with them",
            "the origins that may",
        );
        return None;
    }
    let cors = for_every_path(Allowed {
        origins,
        methods: methods?,
        headers: headers?,
        exposed: exposed?,
        credentials,
        max_age: max_age.map_or(Some(None), |age| age.map(Some))?,
    })?;
    Some(vec![
        Step::Rule(Rule::Preflights),
        Step::Edit(Box::new(cors)),
    ])
}

/// `https://shop.example`, `https://*.shop.example`, `*` or `null`.
fn origin(field: &Field<'_>) -> Option<String> {
    let text = field.string()?;
    // A star stands for a label in this test.
    let plain = text.replace('*', "a");
    let url = plain.parse::<Uri>().ok();
    let is_origin = url.is_some_and(|url| {
        url.scheme().is_some()
            && url.authority().is_some()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
    });
    let is_whole = !text.ends_with('/') && !text.contains("://*.*") && !text.ends_with(".*");
    if matches!(text.as_str(), "*" | "null") || is_origin && is_whole {
        return Some(text);
    }
    field.fault_expected(
        field.quoted(),
        "an origin such as https://shop.example or https://*.shop.example, or `'*'`",
    );
    None
}

fn method(field: &Field<'_>) -> Option<String> {
    let text = field.string()?;
    let is_method = Method::from_bytes(text.as_bytes()).is_ok()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'*');
    if !is_method {
        field.fault_expected(field.quoted(), "a method in capitals, or `'*'`");
    }
    is_method.then_some(text)
}

fn name(field: &Field<'_>) -> Option<String> {
    let text = field.string()?;
    let name = HeaderName::from_bytes(text.as_bytes());
    let is_name = text == "*" || name.is_ok_and(|name| !header::is_of_the_connection(&name));
    if !is_name {
        field.fault_expected(field.quoted(), "the name of a header, or `'*'`");
    }
    (is_name && HeaderValue::from_str(&text).is_ok()).then_some(text)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::registry::tests::{facts, request_head, steps};
    use crate::{Next, RequestHead, Rule, Step};

    const SHOP: &str = "{ origins: ['https://shop.example', 'https://*.shop.example'], methods: [GET, PUT], headers: [x-a], expose: [x-b], credentials: true, max_age: 1h }";

    /// The status, if it answers, and the fields that the response gets.
    fn asked(
        yaml: &str,
        method: &http::Method,
        fields: &[(&'static str, &str)],
    ) -> (Option<u16>, HeaderMap) {
        let (steps, _) = steps("cors", yaml, &[]).expect(yaml);
        let [Step::Rule(Rule::Preflights), Step::Edit(cors)] = &steps[..] else {
            panic!("{steps:?}");
        };
        let mut sent = HeaderMap::new();
        for (name, value) in fields {
            sent.append(*name, value.parse().expect("a value"));
        }
        let mut head = RequestHead {
            facts: facts(),
            method,
            ..request_head("/", &mut sent)
        };
        let next = cors.request(&mut head);
        let mut said = HeaderMap::new();
        for change in &head.effects.response {
            change.apply(&mut said);
        }
        match next {
            Next::Answer(answer) => (Some(answer.status.as_u16()), said),
            Next::Continue => (None, said),
            Next::Refuse(refusal) => panic!("{refusal:?}"),
        }
    }

    #[test]
    fn pages_of_the_list_may_read_answers() {
        for (origin, is_allowed) in [
            ("https://shop.example", true),
            ("https://a.shop.example", true),
            ("https://shop.example.evil", false),
            ("http://shop.example", false),
            ("null", false),
        ] {
            let (status, said) = asked(SHOP, &http::Method::GET, &[("origin", origin)]);
            assert_eq!(status, (!is_allowed).then_some(403), "{origin}");
            let told = said.get("access-control-allow-origin");
            assert_eq!(
                told.is_some_and(|told| told == origin),
                is_allowed,
                "{origin}"
            );
            assert_eq!(
                said.contains_key("access-control-allow-credentials"),
                is_allowed
            );
        }
        let preflight = [
            ("origin", "https://shop.example"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "X-A"),
        ];
        let (status, said) = asked(SHOP, &http::Method::OPTIONS, &preflight);
        assert_eq!(status, Some(200));
        assert_eq!(said["access-control-allow-methods"], "GET,PUT");
        assert_eq!(said["access-control-allow-headers"], "X-A");
        assert_eq!(said["access-control-max-age"], "3600");
        let (status, said) = asked(
            "{ origins: '*' }",
            &http::Method::POST,
            &[("origin", "https://x.test")],
        );
        assert_eq!(
            (status, said["access-control-allow-origin"].as_bytes()),
            (None, &b"*"[..])
        );
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for (yaml, problem) in [
            ("{}", "`origins` is missing"),
            ("{ origins: [] }", "an empty list"),
            ("{ origins: shop.example }", "an origin such as"),
            ("{ origins: 'https://shop.example/' }", "an origin such as"),
            ("{ origins: 'https://shop.example/a' }", "an origin such as"),
            ("{ origins: 'https://shop.*' }", "an origin such as"),
            ("{ origins: '*', credentials: true }", "every origin"),
            ("{ origins: '*', methods: get }", "in capitals"),
            ("{ origins: '*', headers: 'a b' }", "the name of a header"),
            ("{ origins: '*', max_age: 48h }", "48h"),
            ("{ origins: '*', orgins: 'x' }", "unknown key"),
        ] {
            let error = steps("cors", yaml, &[]).expect_err(yaml);
            assert!(error.contains(problem), "{yaml}: {error}");
        }
    }
}
