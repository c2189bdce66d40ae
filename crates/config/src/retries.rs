//! What `retries` of a route says: a number, or a mapping of the number and of
//! the answers that count as failures.

use crate::field::Field;

const MAX_RETRIES: u64 = 10;

/// A status of gRPC that a call may be tried again for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcStatus {
    /// `RESOURCE_EXHAUSTED`, 8: that endpoint has no room.
    ResourceExhausted,
    /// `UNAVAILABLE`, 14: that endpoint does not serve now.
    Unavailable,
}

const STATUSES: &[(&str, GrpcStatus)] = &[
    ("unavailable", GrpcStatus::Unavailable),
    ("resource_exhausted", GrpcStatus::ResourceExhausted),
];

impl GrpcStatus {
    /// The code, as `grpc-status` has it.
    pub fn code(self) -> &'static str {
        match self {
            GrpcStatus::ResourceExhausted => "8",
            GrpcStatus::Unavailable => "14",
        }
    }
}

/// What a route says of retries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetriesSpec {
    /// How many more endpoints are tried after the first.
    pub count: Option<u32>,
    /// The statuses of gRPC that a call is tried again for, if its answer has
    /// nothing else.
    pub grpc_status: Vec<GrpcStatus>,
}

impl RetriesSpec {
    pub(crate) fn read(field: &Field<'_>) -> RetriesSpec {
        if !field.is_mapping() {
            return RetriesSpec {
                count: count(field),
                grpc_status: Vec::new(),
            };
        }
        let Some(mut fields) = field.mapping() else {
            return RetriesSpec::default();
        };
        let number = fields.optional("count").and_then(|field| count(&field));
        let statuses = fields
            .optional("grpc_status")
            .and_then(|field| field.sequence_or_one())
            .unwrap_or_default();
        fields.finish();
        RetriesSpec {
            count: number,
            grpc_status: statuses
                .iter()
                .filter_map(|field| field.one_of(STATUSES))
                .collect(),
        }
    }
}

fn count(field: &Field<'_>) -> Option<u32> {
    let count = field.integer(0..=MAX_RETRIES)?;
    u32::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Report;
    use crate::node::Node;

    fn read(text: &str) -> Result<RetriesSpec, String> {
        let report = Report::new("test");
        let node = Node::parse_yaml(text, &report).expect("YAML");
        let spec = RetriesSpec::read(&Field::new(&node, "retries", &report));
        match report.has_errors() {
            false => Ok(spec),
            true => Err(report.into_faults()[0].to_string()),
        }
    }

    #[test]
    fn a_number_and_a_mapping_say_the_same() {
        let spec = |count, grpc_status| RetriesSpec { count, grpc_status };
        let all = vec![GrpcStatus::Unavailable, GrpcStatus::ResourceExhausted];
        for (text, expected) in [
            ("3", spec(Some(3), vec![])),
            ("{ count: 3 }", spec(Some(3), vec![])),
            (
                "{ grpc_status: unavailable }",
                spec(None, vec![GrpcStatus::Unavailable]),
            ),
            (
                "{ count: 0, grpc_status: [unavailable, resource_exhausted] }",
                spec(Some(0), all),
            ),
        ] {
            assert_eq!(read(text).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for (text, problem) in [
            ("11", "from 0 to 10"),
            ("{ count: -1 }", "from 0 to 10"),
            ("{ grpc_status: [internal] }", "unavailable"),
            ("{ grpc-status: [unavailable] }", "unknown key"),
            ("[1]", "from 0 to 10"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
