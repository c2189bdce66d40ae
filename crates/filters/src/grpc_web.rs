//! Serves clients of gRPC-Web with a service of gRPC.

use pailou_config::Field;

use crate::{Rule, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::rule(
    "grpc_web",
    "~",
    "Makes calls of gRPC-Web (binary or text, from browsers) calls of gRPC, and the answers what they were asked in.",
    compile,
);

fn compile(field: &Field<'_>) -> Option<Rule> {
    if !field.is_null() {
        field.fault_expected("arguments", "nothing behind `grpc_web`");
        return None;
    }
    Some(Rule::GrpcWeb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Step;
    use crate::registry::tests::step;

    #[test]
    fn it_takes_no_arguments() {
        let compiled = step("grpc_web", "~");
        assert!(matches!(compiled, Ok(Step::Rule(Rule::GrpcWeb))));
        for args in ["true", "{ text: true }", "[]"] {
            let error = step("grpc_web", args).expect_err(args);
            assert!(error.contains("nothing behind `grpc_web`"), "{error}");
        }
    }
}
