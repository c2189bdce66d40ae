//! `methods`: the method is one of a list.

use std::fmt;

use http::Method;
use pailou_config::Field;

use super::{Entry, Predicate};
use crate::Request;

pub(crate) const ENTRY: Entry = Entry {
    name: "methods",
    arguments: "[GET, HEAD]",
    summary: "The method is one of these.",
    compile,
};

#[derive(Debug)]
struct Methods(Vec<Method>);

impl Predicate for Methods {
    fn matches(&self, request: &Request<'_>) -> bool {
        self.0.contains(request.method)
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, method) in self.0.iter().enumerate() {
            write!(f, "{}{method}", if index == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Predicate>> {
    let items = field.sequence_or_one()?;
    if items.is_empty() {
        field.fault("no method is listed, so this never matches");
        return None;
    }
    let methods: Option<Vec<Method>> = items.iter().map(method).collect();
    Some(Box::new(Methods(methods?)))
}

fn method(field: &Field<'_>) -> Option<Method> {
    const FORM: &str = "a method such as GET, in capitals";
    let text = field.string()?;
    // RFC 9110, 9.1: methods are case-sensitive; a lower-case one is a slip.
    let method = Method::from_bytes(text.as_bytes())
        .ok()
        .filter(|_| !text.bytes().any(|byte| byte.is_ascii_lowercase()));
    match method {
        None => field.fault_expected("not a method", FORM),
        Some(Method::CONNECT | Method::TRACE) => {
            field.fault_expected("the gateway refuses this method, so it never matches", FORM);
        }
        Some(method) => return Some(method),
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::predicate::tests::{compiled, holds};

    #[test]
    fn one_of_the_methods_is_enough() {
        let predicate = compiled("methods", "[GET, PURGE]").expect("legal");
        for (method, expected) in [
            ("GET", true),
            ("PURGE", true),
            ("HEAD", false),
            ("get", false),
        ] {
            assert_eq!(
                holds(&*predicate, &format!("{method} /"), &[]),
                expected,
                "{method}"
            );
        }
        assert!(holds(
            &*compiled("methods", "POST").expect("a lone one"),
            "POST /",
            &[]
        ));
    }

    #[test]
    fn what_is_no_method_is_refused() {
        for args in [
            "[]",
            "get",
            "[GET, 'P T']",
            "TRACE",
            "[CONNECT]",
            "''",
            "{ GET: true }",
            "~",
        ] {
            compiled("methods", args).expect_err(args);
        }
    }
}
