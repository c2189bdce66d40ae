//! Whether what is observed is what was recorded.
//!
//! Compared: the route, what the backends got (which backend, method, target, headers, body), the answer's status line,
//! headers and body. Headers are compared by name, whatever its case, the values of one name in their order. What holds
//! for every document and is no matter of a case is a [`Rule`]; each has its reason in `announced.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::exchange::{Answer, Exchange, Headers, UpstreamRequest, values};

/// A difference that is the same in every document, and is looked past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Fields that Spring's HTTP client adds to each request.
    ClientFields,
    /// How a message is framed, as long as its body is the same.
    Framing,
    /// Fields that the gateway writes where Spring writes none.
    OwnFields,
    /// The bodies of answers that the gateways make up themselves.
    ErrorBodies,
    /// Numbers that depend on the moment.
    Counters,
    /// The words behind a status, where Netty has its own.
    ReasonPhrases,
    /// Which route is told where a fallback's answered.
    FallbackRoutes,
}

/// All rules, by the names that they have in `announced.yaml`.
pub(crate) const RULES: [(&str, Rule); 7] = [
    ("client_fields", Rule::ClientFields),
    ("framing", Rule::Framing),
    ("own_fields", Rule::OwnFields),
    ("error_bodies", Rule::ErrorBodies),
    ("counters", Rule::Counters),
    ("reason_phrases", Rule::ReasonPhrases),
    ("fallback_routes", Rule::FallbackRoutes),
];

/// `Rule::Framing`: the body tells whether they are right. `connection` belongs to one hop.
const FRAMING: [&str; 4] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
];
/// `Rule::OwnFields` of requests.
const OWN_IN_REQUESTS: [&str; 8] = [
    "via",
    "x-request-id",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
];
/// `Rule::OwnFields` of answers.
const OWN_IN_ANSWERS: [&str; 2] = ["date", "x-request-id"];
/// Never the same twice.
const PER_CONNECTION: &str = "sec-websocket-key";

/// Every difference between a recording and what is observed. `sent` are the header lines of the client's request.
pub(crate) fn differences(recorded: &Exchange, observed: &Exchange, sent: &Headers) -> Vec<String> {
    let mut found = Vec::new();
    if !is_route_of(recorded, observed) {
        let (recorded, observed) = (&recorded.route, &observed.route);
        found.push(format!("route: recorded {recorded:?}, here {observed:?}"));
    }
    let (r, o) = (&recorded.upstream, &observed.upstream);
    let requests = |all: &[UpstreamRequest]| {
        let request = |u: &UpstreamRequest| format!("{} {}", u.backend, u.request());
        all.iter().map(request).collect::<Vec<_>>()
    };
    let (r_requests, o_requests) = (requests(r), requests(o));
    if r_requests != o_requests {
        found.push(format!(
            "upstream: recorded {r_requests:?}, here {o_requests:?}"
        ));
    } else {
        for (at, (r, o)) in r.iter().zip(o).enumerate() {
            let request = |what: String| format!("upstream {at}: {what}");
            found.extend(upstream_differences(r, o, sent).into_iter().map(request));
        }
    }
    match (&recorded.answer, &observed.answer) {
        (None, None) => {}
        (Some(r), Some(o)) => found.extend(answer_differences(r, o)),
        (Some(r), None) => found.push(format!("answer: recorded {}, here none", r.status)),
        (None, Some(o)) => found.push(format!("answer: recorded none, here {}", o.status)),
    }
    found
}

/// Whether the route that is told here is one that took the recorded request: the first, or of a fallback that which
/// answered.
fn is_route_of(recorded: &Exchange, observed: &Exchange) -> bool {
    let further = |observed: &String| recorded.further_routes.contains(observed);
    route(recorded) == route(observed) || observed.route.as_ref().is_some_and(further)
}

/// The id of the route, if it is one that somebody wrote: for a route without one each gateway makes up its own, Spring at
/// random.
fn route(exchange: &Exchange) -> Option<&str> {
    let is_made_up = |id: &str| {
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        parts == [8, 4, 4, 4, 12]
            || id
                .strip_prefix("route-")
                .is_some_and(|rest| rest.len() == 16)
    };
    let id = exchange.route.as_deref()?;
    Some(if is_made_up(id) { "(made up)" } else { id })
}

/// What differs in how often each `status:backend` came: which ones came at all, and shares that chance does not explain.
pub(crate) fn distribution_differences(
    recorded: &BTreeMap<String, u32>,
    observed: &BTreeMap<String, u32>,
) -> Vec<String> {
    let total = f64::from(recorded.values().sum::<u32>());
    let keys: BTreeSet<_> = recorded.keys().chain(observed.keys()).collect();
    let count = |of: &BTreeMap<String, u32>, key| f64::from(of.get(key).copied().unwrap_or(0));
    let differs = keys.into_iter().any(|key| {
        let (r, o) = (count(recorded, key), count(observed, key));
        let share = (r + o) / (2.0 * total);
        // Five standard deviations of the difference of two draws, and one for what is rounded.
        let chance = 5.0 * (2.0 * total * share * (1.0 - share)).sqrt() + 1.0;
        (r == 0.0) != (o == 0.0) || (r - o).abs() > chance
    });
    match differs {
        true => vec![format!("shares: recorded {recorded:?}, here {observed:?}")],
        false => Vec::new(),
    }
}

fn upstream_differences(r: &UpstreamRequest, o: &UpstreamRequest, sent: &Headers) -> Vec<String> {
    let mut found = Vec::new();
    let (mut r_fields, mut o_fields) = (fields(&r.headers), fields(&o.headers));
    for fields in [&mut r_fields, &mut o_fields] {
        fields.remove(PER_CONNECTION);
        for name in FRAMING {
            fields.remove(name);
        }
        if fields
            .get("accept")
            .is_some_and(|values| values == &["*/*"])
        {
            fields.remove("accept");
        }
        let of_spring = |value: &String| value.starts_with("ReactorNetty/");
        if fields
            .get("user-agent")
            .is_some_and(|v| v.iter().all(of_spring))
        {
            fields.remove("user-agent");
        }
    }
    for name in OWN_IN_REQUESTS {
        if r_fields.contains_key(name) {
            continue;
        }
        let Some(own) = o_fields.remove(name) else {
            continue;
        };
        // Ours to write, and not the client's. Every client is on loopback.
        let is_true = |value: &str| value.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        for value in values(sent, name) {
            if !value.is_empty() && !is_true(value) && own.iter().any(|own| own.contains(value)) {
                found.push(format!(
                    "header {name}: recorded none, here the client's {own:?}"
                ));
            }
        }
    }
    header_differences(&r_fields, &o_fields, &mut found);
    body_differences((&r.body, r.body_len), (&o.body, o.body_len), &mut found);
    found
}

fn answer_differences(r: &Answer, o: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    if r.status != o.status {
        found.push(format!("status: recorded {}, here {}", r.status, o.status));
    } else if !is_same_reason(r, o) {
        found.push(format!(
            "reason: recorded {:?}, here {:?}",
            r.reason, o.reason
        ));
    }
    let made_up = is_made_up(r) && is_made_up(o);
    let (mut r_fields, mut o_fields) = (fields(&r.headers), fields(&o.headers));
    if let (Some(r), Some(o)) = (
        r_fields.get("content-length"),
        o_fields.get("content-length"),
    ) && r != o
        && !made_up
    {
        found.push(format!("content-length: recorded {r:?}, here {o:?}"));
    }
    for fields in [&mut r_fields, &mut o_fields] {
        for name in FRAMING {
            fields.remove(name);
        }
        for (name, values) in fields.iter_mut() {
            if name.starts_with("x-ratelimit-") {
                values.fill("(a number)".to_owned());
            }
        }
        if made_up {
            fields.remove("content-type");
        }
    }
    if one_second_apart(&r_fields, &o_fields) {
        r_fields.remove("cache-control");
        o_fields.remove("cache-control");
    }
    for name in OWN_IN_ANSWERS {
        if !r_fields.contains_key(name) {
            o_fields.remove(name);
        }
    }
    header_differences(&r_fields, &o_fields, &mut found);
    if r.truncated != o.truncated {
        found.push(format!(
            "cut short: recorded {}, here {}",
            r.truncated, o.truncated
        ));
    } else if !made_up && !r.truncated {
        body_differences((&r.body, r.body_len), (&o.body, o.body_len), &mut found);
    }
    if r.interim != o.interim {
        found.push(format!(
            "interim: recorded {:?}, here {:?}",
            r.interim, o.interim
        ));
    }
    if r.ws_first_frame != o.ws_first_frame {
        let (r, o) = (&r.ws_first_frame, &o.ws_first_frame);
        found.push(format!("first frame: recorded {r:?}, here {o:?}"));
    }
    found
}

/// Whether the words behind the status are the same, or Netty's own: older ones, and for a status that it does not know
/// the name of its class and the number.
fn is_same_reason(r: &Answer, o: &Answer) -> bool {
    const OLDER: [&str; 2] = ["Request Entity Too Large", "Request-URI Too Long"];
    let is_netty =
        OLDER.contains(&r.reason.as_str()) || r.reason.ends_with(&format!(" ({})", r.status));
    r.reason == o.reason || is_netty
}

/// Whether a gateway made this answer up itself: an error with a body of its own, or with none.
fn is_made_up(answer: &Answer) -> bool {
    let kind = values(&answer.headers, "content-type");
    let of_ours = kind.contains(&"application/problem+json");
    let of_spring =
        answer.body.starts_with("{\"timestamp\":\"") || answer.body.contains("Whitelabel");
    let to_head = answer.body.is_empty() && values(&answer.headers, "x-backend").is_empty();
    answer.status >= 400 && (of_ours || of_spring || to_head)
}

/// Whether nothing but a second lies between two `max-age`.
fn one_second_apart(r: &Fields, o: &Fields) -> bool {
    let age = |fields: &Fields| match fields.get("cache-control").map(Vec::as_slice) {
        Some([value]) => value.strip_prefix("max-age=")?.parse::<u32>().ok(),
        _ => None,
    };
    matches!((age(r), age(o)), (Some(r), Some(o)) if r.abs_diff(o) <= 1)
}

type Fields = BTreeMap<String, Vec<String>>;

/// The values by lower-case name, each name's in their order.
fn fields(headers: &Headers) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in headers {
        let values = fields.entry(name.to_ascii_lowercase()).or_default();
        values.push(without_ephemeral_port(name, value));
    }
    fields
}

/// `Forwarded` without the port that the client's side happened to have.
fn without_ephemeral_port(name: &str, value: &str) -> String {
    if !name.eq_ignore_ascii_case("forwarded") {
        return value.to_owned();
    }
    let mut pieces = value.split("for=\"");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (node, rest) = piece.split_once('"').unwrap_or((piece, ""));
        let host = match node.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => node,
        };
        text += &format!("for=\"{host}:_\"{rest}");
    }
    text
}

fn header_differences(r: &Fields, o: &Fields, found: &mut Vec<String>) {
    let names: BTreeSet<_> = r.keys().chain(o.keys()).collect();
    for name in names {
        let (r, o) = (r.get(name), o.get(name));
        if r != o {
            let shown = |values: Option<&Vec<String>>| match values {
                Some(values) => format!("{values:?}"),
                None => "none".to_owned(),
            };
            found.push(format!(
                "header {name}: recorded {}, here {}",
                shown(r),
                shown(o)
            ));
        }
    }
}

/// Recordings keep the beginning of a long body, and its length.
fn body_differences(r: (&str, usize), o: (&str, usize), found: &mut Vec<String>) {
    let kept = |text: &str| text.chars().take(r.0.chars().count()).collect::<String>();
    if r.1 != o.1 || r.0 != kept(o.0) {
        let shown = |text: &str| text.chars().take(200).collect::<String>();
        let (r_text, o_text) = (shown(r.0), shown(o.0));
        found.push(format!(
            "body: recorded {} bytes {r_text:?}, here {} bytes {o_text:?}",
            r.1, o.1
        ));
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
