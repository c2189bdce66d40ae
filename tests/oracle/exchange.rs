//! What happened in one case, as it was recorded and as it is observed.

use serde::Deserialize;

/// Header lines as they stood on the wire, each character one byte.
pub(crate) type Headers = Vec<(String, String)>;

/// One request and everything that came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Exchange {
    /// The id of the route that took it.
    pub(crate) route: Option<String>,
    /// Those that took it after that: of a fallback, or of further requests on the connection.
    pub(crate) further_routes: Vec<String>,
    /// What the backends got, in order.
    pub(crate) upstream: Vec<UpstreamRequest>,
    /// What the client got; nothing if the connection ended without a head.
    pub(crate) answer: Option<Answer>,
}

/// A request as a backend got it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct UpstreamRequest {
    /// `b1` to `b5`.
    pub(crate) backend: String,
    pub(crate) method: String,
    pub(crate) target: String,
    /// The request line in place of the two above, for WebSocket.
    pub(crate) line: Option<String>,
    pub(crate) headers: Headers,
    /// Without its framing. Recordings keep the first 300 bytes.
    pub(crate) body: String,
    /// The length of the whole body.
    pub(crate) body_len: usize,
}

/// An answer as a client got it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The words behind it in the status line.
    pub(crate) reason: String,
    pub(crate) headers: Headers,
    /// Without its framing. Recordings keep the first 600 bytes.
    pub(crate) body: String,
    /// The length of the whole body.
    pub(crate) body_len: usize,
    /// Whether it ended before its framing says.
    pub(crate) truncated: bool,
    /// Heads of status 1xx before it, their first lines.
    pub(crate) interim: Vec<String>,
    /// The first frame after an upgrade.
    pub(crate) ws_first_frame: Option<String>,
}

impl UpstreamRequest {
    /// `METHOD target`.
    pub(crate) fn request(&self) -> String {
        match &self.line {
            Some(line) => line.trim_end_matches(" HTTP/1.1").to_owned(),
            None => format!("{} {}", self.method, self.target),
        }
    }
}

impl Exchange {
    /// The same with every text of it changed: names of backends, targets, header values, bodies.
    pub(crate) fn map_text(&self, change: impl Fn(&str) -> String) -> Exchange {
        let headers = |headers: &Headers| {
            let change = |(name, value): &(String, String)| (name.clone(), change(value));
            headers.iter().map(change).collect()
        };
        Exchange {
            route: self.route.clone(),
            further_routes: self.further_routes.clone(),
            upstream: self
                .upstream
                .iter()
                .map(|request| UpstreamRequest {
                    backend: change(&request.backend),
                    target: change(&request.target),
                    headers: headers(&request.headers),
                    ..request.clone()
                })
                .collect(),
            answer: self.answer.as_ref().map(|answer| Answer {
                headers: headers(&answer.headers),
                body: change(&answer.body),
                ..answer.clone()
            }),
        }
    }
}

/// The values of a header, in order.
pub(crate) fn values<'a>(headers: &'a Headers, name: &str) -> Vec<&'a str> {
    let named = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}
