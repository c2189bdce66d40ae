//! How many requests each endpoint of a service may have at once.

use std::time::Duration;

use crate::{field::Field, units::format_duration};

const MOST: u64 = 1_000_000;
const WAIT: Duration = Duration::from_secs(1);

/// A bound on the requests that each endpoint has under way, and who waits when all endpoints have as many as they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointLimitSpec {
    /// The most requests of one endpoint, whichever routes they come by.
    pub requests: u32,
    /// So many requests wait when all endpoints are full; 0 for none.
    pub queue: u32,
    /// How long one waits.
    pub wait: Duration,
}

impl EndpointLimitSpec {
    /// Reads a number, or a mapping of `requests`, `queue` and `wait`.
    pub(crate) fn read(field: &Field<'_>) -> Option<EndpointLimitSpec> {
        if !field.is_mapping() {
            let requests = field.integer(1..=MOST)? as u32;
            return Some(EndpointLimitSpec {
                requests,
                queue: 0,
                wait: WAIT,
            });
        }
        let mut fields = field.mapping()?;
        let requests = fields
            .required("requests")
            .and_then(|field| field.integer(1..=MOST));
        let queue = match fields.optional("queue") {
            Some(queue) => queue.integer(0..=MOST),
            None => Some(0),
        };
        let wait = match fields.optional("wait") {
            Some(wait) => wait.duration(Duration::from_millis(1)..=Duration::from_secs(60)),
            None => Some(WAIT),
        };
        fields.finish();
        Some(EndpointLimitSpec {
            requests: requests? as u32,
            queue: queue? as u32,
            wait: wait?,
        })
    }

    /// As it is written, as a mapping.
    pub fn text(&self) -> String {
        format!(
            "{{ requests: {}, queue: {}, wait: {} }}",
            self.requests,
            self.queue,
            format_duration(self.wait)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Node, Report};

    fn read(text: &str) -> Result<EndpointLimitSpec, String> {
        let report = Report::new("r");
        let node = Node::parse_yaml(text, &report).expect("YAML");
        let spec = EndpointLimitSpec::read(&Field::new(&node, "endpoint_limit", &report));
        let faults = report.into_faults();
        match faults.first() {
            None => Ok(spec.expect("no fault")),
            Some(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn a_limit_is_a_number_or_says_who_waits_and_reads_back_from_its_text() {
        for (text, requests, queue, milliseconds) in [
            ("20", 20, 0, 1_000),
            ("{ requests: 1 }", 1, 0, 1_000),
            ("{ requests: 5, queue: 50, wait: 200ms }", 5, 50, 200),
        ] {
            let wait = Duration::from_millis(milliseconds);
            let expected = EndpointLimitSpec {
                requests,
                queue,
                wait,
            };
            assert_eq!(read(text), Ok(expected), "{text}");
            assert_eq!(read(&expected.text()), Ok(expected));
        }
        for (text, problem) in [
            ("0", "from 1"),
            ("{}", "`requests` is missing"),
            ("{ requests: 1, queue: -1 }", "-1"),
            ("{ requests: 1, wait: 2m }", "2m"),
            ("{ requests: 1, of: route }", "unknown key"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
