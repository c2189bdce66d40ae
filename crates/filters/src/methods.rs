//! Refuses requests by their method.

use http::header::ALLOW;
use http::{HeaderValue, Method};
use pailou_config::Field;

use crate::{Change, Edit, Next, Refusal, RequestHead, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::edit(
    "methods",
    "[GET, HEAD, POST]",
    "Refuses a request of any other method as 405, with the list in `Allow`. `match.methods` of a route, in contrast, leaves it to other routes.",
    compile,
);

#[derive(Debug)]
struct Methods {
    allowed: Vec<Method>,
    told: HeaderValue,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    let allowed = named(field)?;
    let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
    let told = HeaderValue::try_from(names.join(", ")).ok()?;
    Some(Box::new(Methods { allowed, told }))
}

/// Reads a list of methods, which names one or more.
pub(crate) fn named(field: &Field<'_>) -> Option<Vec<Method>> {
    let methods = field.each(|item| {
        let text = item.string()?;
        let method = Method::from_bytes(text.as_bytes()).ok();
        let is_name = text.bytes().all(|byte| byte.is_ascii_uppercase());
        let method = method.filter(|_| is_name);
        if method.is_none() {
            item.fault_expected(item.quoted(), "a method in capitals");
        }
        method
    })?;
    if methods.is_empty() {
        field.fault_expected("an empty list", "one method or more");
        return None;
    }
    Some(methods)
}

impl Edit for Methods {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        if self.allowed.contains(head.method) {
            return Next::Continue;
        }
        head.effects
            .response
            .push(Change::Set(ALLOW, self.told.clone()));
        Next::Refuse(Refusal::Method)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::registry::tests::{compiled, request_head};

    #[test]
    fn only_methods_of_the_list_may_in() {
        let edit = compiled("methods", "[GET, PUT]").expect("legal");
        for (method, is_allowed) in [
            (Method::GET, true),
            (Method::PUT, true),
            (Method::HEAD, false),
        ] {
            let mut headers = HeaderMap::new();
            let mut head = request_head("/", &mut headers);
            head.method = &method;
            let next = edit.request(&mut head);
            assert_eq!(matches!(next, Next::Continue), is_allowed, "{method}");
            let told = Change::Set(ALLOW, HeaderValue::from_static("GET, PUT"));
            assert_eq!(head.effects.response.contains(&told), !is_allowed);
        }
        for yaml in ["[]", "get", "'GET PUT'", "{ a: b }"] {
            compiled("methods", yaml).expect_err(yaml);
        }
    }
}
