//! Predicates that cannot run here, each with the reason. Their routes are refused.

use pailou_config::{Compat, Field};

use super::Entry;
use crate::predicate::Predicate;

pub(super) const READ_BODY: Entry = Entry {
    name: "ReadBody",
    shortcut: "-",
    summary: "Refused: it is a class in Java that reads the body.",
    compile: read_body,
};

pub(super) const CLOUD_FOUNDRY: Entry = Entry {
    name: "CloudFoundryRouteService",
    shortcut: "-",
    summary: "Refused: it is for route services of Cloud Foundry. Three `Header` predicates say the same.",
    compile: cloud_foundry,
};

fn read_body(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    field.fault_expected(
        "`ReadBody` hands the body to a class in Java, which cannot run here",
        "a predicate on the head, such as `Header` or `Query`",
    );
    None
}

fn cloud_foundry(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    field.fault_expected(
        "`CloudFoundryRouteService` is for route services of Cloud Foundry",
        "`Header=X-CF-Forwarded-Url`, `Header=X-CF-Proxy-Signature` and `Header=X-CF-Proxy-Metadata`",
    );
    None
}
