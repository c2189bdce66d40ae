//! Says what the gateway's own errors of a route look like.

use http::HeaderValue;
use pailou_config::{ErrorBodies, Field};

use crate::{Rule, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::rule(
    "errors",
    "{ template: '{\"code\": {status}, \"msg\": \"{message}\"}' }",
    "Gives the gateway's own errors of the route a shape of their own: `problem`, `scg`, a template, or a mapping of `template` and `content_type`, as `errors` in gateway.yaml does for all routes. `{ shape: scg }` says the same in documents of Spring Cloud Gateway.",
    compile,
);

/// The shape of error bodies, with the content type that goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorShape {
    content_type: HeaderValue,
    bodies: ErrorBodies,
}

impl ErrorShape {
    /// The shape that settings or a route ask for.
    pub fn new(bodies: ErrorBodies) -> ErrorShape {
        let content_type = match &bodies {
            ErrorBodies::Problem => HeaderValue::from_static("application/problem+json"),
            ErrorBodies::Scg => HeaderValue::from_static("application/json"),
            // Whoever read it has seen to it that it is a value.
            ErrorBodies::Template(template) => HeaderValue::from_str(&template.content_type)
                .unwrap_or(HeaderValue::from_static("text/plain")),
        };
        ErrorShape {
            content_type,
            bodies,
        }
    }

    /// What `Content-Type` says of the bodies.
    pub fn content_type(&self) -> HeaderValue {
        self.content_type.clone()
    }

    /// What the bodies are.
    pub fn bodies(&self) -> &ErrorBodies {
        &self.bodies
    }
}

fn compile(field: &Field<'_>) -> Option<Rule> {
    let bodies = match named(field) {
        Some(shape) => shape,
        None => ErrorBodies::read(field),
    };
    bodies.map(|bodies| Rule::Errors(ErrorShape::new(bodies)))
}

/// The shape that `{ shape: scg }` names, if a mapping names one.
fn named(field: &Field<'_>) -> Option<Option<ErrorBodies>> {
    let is_shape = field.is_mapping()
        && field
            .entries()
            .is_some_and(|entries| entries.iter().any(|(key, _)| key.text == "shape"));
    if !is_shape {
        return None;
    }
    let mut fields = field.mapping()?;
    let shapes = [("problem", ErrorBodies::Problem), ("scg", ErrorBodies::Scg)];
    let shape = fields.required("shape").map(|shape| shape.one_of(&shapes));
    fields.finish();
    shape
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Step;
    use crate::registry::tests::{step, steps};

    fn shape(args: &str) -> ErrorShape {
        match step("errors", args) {
            Ok(Step::Rule(Rule::Errors(shape))) => shape,
            other => panic!("{args}: {other:?}"),
        }
    }

    #[test]
    fn a_shape_is_named_or_a_template() {
        for (args, kind) in [
            ("problem", "application/problem+json"),
            ("scg", "application/json"),
            ("{ shape: scg }", "application/json"),
            ("'{\"code\": {status}}'", "application/json"),
            (ENTRY.arguments, "application/json"),
            (
                "{ template: '<b>{title}</b>', content_type: text/html }",
                "text/html",
            ),
        ] {
            assert_eq!(shape(args).content_type(), kind, "{args}");
        }
        assert_eq!(*shape("{ shape: scg }").bodies(), ErrorBodies::Scg);
    }

    #[test]
    fn what_is_no_shape_is_refused() {
        for (args, problem) in [
            ("~", "no value"),
            ("springs", "`problem`, `scg`"),
            ("{ shape: springs }", "one of problem, scg"),
            ("{ shape: scg, template: x }", "unknown key"),
            ("'{\"msg\": {message}}'", "texts need quotes"),
            ("{ content_type: text/plain }", "`template` is missing"),
        ] {
            let error = steps("errors", args, &[]).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
