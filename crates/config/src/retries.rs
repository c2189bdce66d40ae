//! What `retries` of a route says: a number, or a mapping of the number and of
//! the answers that count as failures.

use std::time::Duration;

use crate::{field::Field, request_value::is_token};

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
    /// The statuses of answers that count as failures: ranges, both ends included.
    pub statuses: Vec<(u16, u16)>,
    /// The methods of requests that may run twice; `None` is those that are
    /// idempotent.
    pub methods: Option<Vec<String>>,
    /// How long one try may take for its answer; `None` is as long as all of them.
    pub try_timeout: Option<Duration>,
    /// Whether another endpoint is asked too while one takes its time.
    pub hedge: Option<HedgeSpec>,
}

/// How soon another endpoint is asked too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgeSpec {
    /// After how long without an answer.
    pub after: Duration,
    /// How many more may be asked at once.
    pub max: u32,
}

/// Each of them adds a whole try to the load.
const MAX_HEDGES: u64 = 3;

impl HedgeSpec {
    fn read(field: &Field<'_>) -> Option<HedgeSpec> {
        let mut fields = field.mapping()?;
        let after = fields.required("after");
        let after = after.and_then(|field| field.duration(MILLISECOND..=DAY));
        let max = match fields.optional("max") {
            Some(field) => field.integer(1..=MAX_HEDGES),
            None => Some(1),
        };
        fields.finish();
        let max = u32::try_from(max?).ok()?;
        Some(HedgeSpec { after: after?, max })
    }
}

impl RetriesSpec {
    pub(crate) fn read(field: &Field<'_>) -> RetriesSpec {
        if !field.is_mapping() {
            return RetriesSpec {
                count: count(field),
                ..RetriesSpec::default()
            };
        }
        let Some(mut fields) = field.mapping() else {
            return RetriesSpec::default();
        };
        let number = fields.optional("count").and_then(|field| count(&field));
        let mut list = |key| {
            let list = fields.optional(key)?;
            list.sequence_or_one()
        };
        let grpc = list("grpc_status").unwrap_or_default();
        let statuses = list("statuses").unwrap_or_default();
        let methods = list("methods");
        let try_timeout = fields
            .optional("try_timeout")
            .and_then(|field| field.duration(MILLISECOND..=DAY));
        let hedge = fields.optional("hedge");
        fields.finish();
        if let (Some(hedge), Some(0)) = (&hedge, number) {
            hedge.fault("a hedge is one of the tries of `count`, which is 0");
        }
        RetriesSpec {
            count: number,
            grpc_status: grpc
                .iter()
                .filter_map(|field| field.one_of(STATUSES))
                .collect(),
            statuses: statuses.iter().filter_map(status).collect(),
            methods: methods.map(|methods| methods.iter().filter_map(method).collect()),
            try_timeout,
            hedge: hedge.and_then(|hedge| HedgeSpec::read(&hedge)),
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A status that can be a failure, or `4xx` or `5xx` for a hundred of them.
fn status(field: &Field<'_>) -> Option<(u16, u16)> {
    let text = field.string()?;
    let number = text
        .parse()
        .ok()
        .filter(|number| (400..=599).contains(number));
    let range = match text.as_str() {
        "4xx" => Some((400, 499)),
        "5xx" => Some((500, 599)),
        _ => number.map(|number| (number, number)),
    };
    if range.is_none() {
        field.fault_expected(field.quoted(), "a status from 400 to 599, 4xx or 5xx");
    }
    range
}

/// Methods are compared as they are written: `get` is none that a client sends.
fn method(field: &Field<'_>) -> Option<String> {
    let text = field.string()?;
    if !is_token(&text) || text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        field.fault_expected(field.quoted(), "a method in capitals, such as GET");
        return None;
    }
    Some(text)
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
        let spec = |count, grpc_status| RetriesSpec {
            count,
            grpc_status,
            ..RetriesSpec::default()
        };
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
        let text = "{ statuses: [429, 5xx], methods: [GET, POST], try_timeout: 500ms }";
        assert_eq!(
            read(text).expect(text),
            RetriesSpec {
                statuses: vec![(429, 429), (500, 599)],
                methods: Some(vec!["GET".into(), "POST".into()]),
                try_timeout: Some(Duration::from_millis(500)),
                ..RetriesSpec::default()
            }
        );
    }

    #[test]
    fn a_hedge_is_one_more_unless_it_says_otherwise() {
        for (text, max) in [("{ after: 100ms }", 1), ("{ after: 100ms, max: 3 }", 3)] {
            let after = Duration::from_millis(100);
            let expected = Some(HedgeSpec { after, max });
            let spec = read(&format!("{{ hedge: {text} }}")).expect(text);
            assert_eq!(spec.hedge, expected, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for (text, problem) in [
            ("11", "from 0 to 10"),
            ("{ count: -1 }", "from 0 to 10"),
            ("{ grpc_status: [internal] }", "unavailable"),
            ("{ grpc-status: [unavailable] }", "unknown key"),
            ("{ statuses: [200] }", "400 to 599"),
            ("{ statuses: 6xx }", "400 to 599"),
            ("{ methods: [get] }", "capitals"),
            ("{ try_timeout: 0s }", "1ms to 24h"),
            ("{ hedge: { max: 1 } }", "after"),
            ("{ hedge: { after: 0s } }", "1ms to 24h"),
            ("{ hedge: { after: 1s, max: 4 } }", "from 1 to 3"),
            ("{ count: 0, hedge: { after: 1s } }", "`count`, which is 0"),
            ("[1]", "from 0 to 10"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
