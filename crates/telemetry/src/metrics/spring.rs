//! Requests by the names and labels of Spring Cloud Gateway, so that its dashboards go on working.
//!
//! They are a summary with its maximum, as Micrometer writes a timer. The encoder of the other series knows no summaries, so these are
//! written here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::codes::{Slot, Timing};
use super::route::RouteMetrics;

const NAME: &str = "spring_cloud_gateway_requests_seconds";

/// What `HttpStatus` of Spring 6 calls the statuses.
const NAMES: [(u16, &str); 61] = [
    (100, "CONTINUE"),
    (101, "SWITCHING_PROTOCOLS"),
    (102, "PROCESSING"),
    (103, "EARLY_HINTS"),
    (200, "OK"),
    (201, "CREATED"),
    (202, "ACCEPTED"),
    (203, "NON_AUTHORITATIVE_INFORMATION"),
    (204, "NO_CONTENT"),
    (205, "RESET_CONTENT"),
    (206, "PARTIAL_CONTENT"),
    (207, "MULTI_STATUS"),
    (208, "ALREADY_REPORTED"),
    (226, "IM_USED"),
    (300, "MULTIPLE_CHOICES"),
    (301, "MOVED_PERMANENTLY"),
    (302, "FOUND"),
    (303, "SEE_OTHER"),
    (304, "NOT_MODIFIED"),
    (305, "USE_PROXY"),
    (307, "TEMPORARY_REDIRECT"),
    (308, "PERMANENT_REDIRECT"),
    (400, "BAD_REQUEST"),
    (401, "UNAUTHORIZED"),
    (402, "PAYMENT_REQUIRED"),
    (403, "FORBIDDEN"),
    (404, "NOT_FOUND"),
    (405, "METHOD_NOT_ALLOWED"),
    (406, "NOT_ACCEPTABLE"),
    (407, "PROXY_AUTHENTICATION_REQUIRED"),
    (408, "REQUEST_TIMEOUT"),
    (409, "CONFLICT"),
    (410, "GONE"),
    (411, "LENGTH_REQUIRED"),
    (412, "PRECONDITION_FAILED"),
    (413, "PAYLOAD_TOO_LARGE"),
    (414, "URI_TOO_LONG"),
    (415, "UNSUPPORTED_MEDIA_TYPE"),
    (416, "REQUESTED_RANGE_NOT_SATISFIABLE"),
    (417, "EXPECTATION_FAILED"),
    (418, "I_AM_A_TEAPOT"),
    (422, "UNPROCESSABLE_ENTITY"),
    (423, "LOCKED"),
    (424, "FAILED_DEPENDENCY"),
    (425, "TOO_EARLY"),
    (426, "UPGRADE_REQUIRED"),
    (428, "PRECONDITION_REQUIRED"),
    (429, "TOO_MANY_REQUESTS"),
    (431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
    (451, "UNAVAILABLE_FOR_LEGAL_REASONS"),
    (500, "INTERNAL_SERVER_ERROR"),
    (501, "NOT_IMPLEMENTED"),
    (502, "BAD_GATEWAY"),
    (503, "SERVICE_UNAVAILABLE"),
    (504, "GATEWAY_TIMEOUT"),
    (505, "HTTP_VERSION_NOT_SUPPORTED"),
    (506, "VARIANT_ALSO_NEGOTIATES"),
    (507, "INSUFFICIENT_STORAGE"),
    (508, "LOOP_DETECTED"),
    (510, "NOT_EXTENDED"),
    (511, "NETWORK_AUTHENTICATION_REQUIRED"),
];

/// Where no status was sent, or none that has a name.
const CUSTOM: &str = "CUSTOM";
const NO_STATUS: &str = "NA";

/// One series: its labels in the order of their names, and what was measured.
type Series = (String, Timing);

/// Adds the series of these routes to a text of OpenMetrics, before the line that ends it. Each of at most `most_at_zero` routes
/// has one series from the start on, that of `GET` and 200. `in_table` is how many routes the table has.
pub(super) fn add_to(
    text: &mut String,
    routes: &[Arc<RouteMetrics>],
    in_table: u64,
    most_at_zero: usize,
) {
    const END: &str = "# EOF\n";
    let ended = text.ends_with(END);
    if ended {
        text.truncate(text.len() - END.len());
    }
    let routes = routes.iter().filter(|route| !route.route().is_empty());
    let routes: Vec<_> = routes.collect();
    let at_zero = routes.len() <= most_at_zero;
    let series: Vec<Series> = routes
        .iter()
        .flat_map(|route| of_route(route, at_zero))
        .collect();
    // Writing to a String cannot fail.
    let _ = write(text, &series, in_table);
    if ended {
        text.push_str(END);
    }
}

fn write(text: &mut String, series: &[Series], routes: u64) -> std::fmt::Result {
    writeln!(
        text,
        "# HELP {NAME} Requests that a route took, by Spring Cloud Gateway's labels.\n# TYPE {NAME} summary"
    )?;
    for (labels, timing) in series {
        let seconds = timing.nanoseconds as f64 / 1e9;
        writeln!(text, "{NAME}_count{{{labels}}} {}", timing.count)?;
        writeln!(text, "{NAME}_sum{{{labels}}} {seconds}")?;
    }
    writeln!(
        text,
        "# HELP {NAME}_max The longest of the last one to two minutes.\n# TYPE {NAME}_max gauge"
    )?;
    for (labels, timing) in series {
        let seconds = timing.peak_microseconds as f64 / 1e6;
        writeln!(text, "{NAME}_max{{{labels}}} {seconds}")?;
    }
    let count = "spring_cloud_gateway_routes_count";
    writeln!(
        text,
        "# HELP {count} Routes in the table.\n# TYPE {count} gauge\n{count} {routes}"
    )
}

fn of_route(route: &RouteMetrics, at_zero: bool) -> Vec<Series> {
    let mut timings: BTreeMap<(&'static str, Option<u16>), Timing> = BTreeMap::new();
    if at_zero {
        timings.insert(("GET", Some(200)), Timing::default());
    }
    for counts in route.counts.all() {
        for (method, status, slot) in counts.codes.timed() {
            timings.entry((method, status)).or_default().add(slot);
        }
    }
    let (id, uri) = (escaped(route.route()), escaped(&route.uri()));
    let timings = timings.into_iter();
    timings
        .map(|((method, status), timing)| (labels(&id, &uri, method, status), timing))
        .collect()
}

fn labels(id: &str, uri: &str, method: &str, status: Option<u16>) -> String {
    let code = status.map_or_else(|| NO_STATUS.to_owned(), |status| status.to_string());
    let named = NAMES.iter().find(|(known, _)| Some(*known) == status);
    let (outcome, status) = match (named, status) {
        (Some((status, name)), _) => (outcome(*status), *name),
        (None, Some(_)) => (CUSTOM, code.as_str()),
        (None, None) => (CUSTOM, CUSTOM),
    };
    // Micrometer leaves methods as they are; one that a client made up is no label.
    let method = method.replace(crate::words::OTHER, "OTHER");
    format!(
        "httpMethod=\"{method}\",httpStatusCode=\"{code}\",outcome=\"{outcome}\",routeId=\"{id}\",routeUri=\"{uri}\",status=\"{status}\""
    )
}

/// The name of the status's class, `HttpStatus.Series`.
fn outcome(status: u16) -> &'static str {
    match status / 100 {
        1 => "INFORMATIONAL",
        2 => "SUCCESSFUL",
        3 => "REDIRECTION",
        4 => "CLIENT_ERROR",
        _ => "SERVER_ERROR",
    }
}

/// As a value of a label stands between quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

impl Timing {
    fn add(&mut self, slot: &Slot) {
        let other = slot.timing();
        self.count += other.count;
        self.nanoseconds = self.nanoseconds.saturating_add(other.nanoseconds);
        self.peak_microseconds = self.peak_microseconds.max(other.peak_microseconds);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::events::RequestDone;
    use crate::{AccessLog, Metrics, ServiceLabels, TextFormat};

    #[test]
    fn requests_have_springs_names_and_labels() {
        let metrics = Metrics::new();
        metrics.add_spring_names();
        let route = metrics.route("us\"ers", &ServiceLabels::default());
        route.set_uri("lb://user-service");
        let quiet = metrics.route("quiet", &ServiceLabels::default());
        quiet.set_uri("http://a:80");
        for (method, status, milliseconds) in [
            ("GET", 200, 500),
            ("GET", 200, 250),
            ("POST", 404, 1),
            ("BREW", 599, 1),
            ("GET", 0, 1),
        ] {
            RequestDone {
                route: Some(&route),
                method,
                status,
                duration: Duration::from_millis(milliseconds),
                ..RequestDone::default()
            }
            .record(&metrics, &AccessLog::off());
        }
        let unrouted = RequestDone {
            method: "GET",
            status: 404,
            ..RequestDone::default()
        };
        unrouted.record(&metrics, &AccessLog::off());
        let text = metrics.render_as(TextFormat::OpenMetrics);
        assert!(text.ends_with("\n# EOF\n"));
        let users = "routeId=\"us\\\"ers\",routeUri=\"lb://user-service\"";
        for line in [
            "# TYPE spring_cloud_gateway_requests_seconds summary".to_owned(),
            "# TYPE spring_cloud_gateway_requests_seconds_max gauge".to_owned(),
            format!(
                "{NAME}_count{{httpMethod=\"GET\",httpStatusCode=\"200\",outcome=\"SUCCESSFUL\",{users},status=\"OK\"}} 2"
            ),
            format!(
                "{NAME}_sum{{httpMethod=\"GET\",httpStatusCode=\"200\",outcome=\"SUCCESSFUL\",{users},status=\"OK\"}} 0.75"
            ),
            format!(
                "{NAME}_max{{httpMethod=\"GET\",httpStatusCode=\"200\",outcome=\"SUCCESSFUL\",{users},status=\"OK\"}} 0.5"
            ),
            format!(
                "{NAME}_count{{httpMethod=\"POST\",httpStatusCode=\"404\",outcome=\"CLIENT_ERROR\",{users},status=\"NOT_FOUND\"}} 1"
            ),
            format!(
                "{NAME}_count{{httpMethod=\"OTHER\",httpStatusCode=\"599\",outcome=\"CUSTOM\",{users},status=\"599\"}} 1"
            ),
            format!(
                "{NAME}_count{{httpMethod=\"GET\",httpStatusCode=\"NA\",outcome=\"CUSTOM\",{users},status=\"CUSTOM\"}} 1"
            ),
            format!(
                "{NAME}_count{{httpMethod=\"GET\",httpStatusCode=\"200\",outcome=\"SUCCESSFUL\",routeId=\"quiet\",routeUri=\"http://a:80\",status=\"OK\"}} 0"
            ),
            "spring_cloud_gateway_routes_count 0".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let prometheus = metrics.render();
        assert!(prometheus.contains("# TYPE spring_cloud_gateway_requests_seconds summary\n"));
        assert!(!prometheus.contains("# EOF"));
    }

    #[test]
    fn without_the_setting_there_are_none() {
        let metrics = Metrics::new();
        let _route = metrics.route("users", &ServiceLabels::default());
        assert!(!metrics.render().contains("spring_"));
    }
}
