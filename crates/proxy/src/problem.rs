//! Error answers: `application/problem+json` (RFC 9457).

use serde_json::json;

use crate::cause::{Answer, title};

pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// The body of an error answer. It never has an address in it.
pub(crate) fn body(answer: &Answer, request_id: &str, route: Option<&str>) -> Vec<u8> {
    let mut problem = json!({
        "type": "about:blank",
        "title": title(answer.status),
        "status": answer.status,
        "detail": answer.detail,
        "cause": answer.cause,
        "request_id": request_id,
    });
    if let Some(route) = route {
        problem["route"] = route.into();
    }
    problem.to_string().into_bytes()
}

/// A whole answer for a connection that is closed after it, past the engine.
pub(crate) fn bare(answer: &Answer, request_id: &str) -> Vec<u8> {
    let body = body(answer, request_id, None);
    let mut bytes = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\n\
         x-request-id: {request_id}\r\nconnection: close\r\n\r\n",
        answer.status,
        title(answer.status),
        body.len(),
    )
    .into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;

    #[test]
    fn a_problem_says_what_happened_and_where() {
        let body = body(&Cause::ConnectFailed.answer(), "id-1", Some("a \"route\""));
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            problem,
            json!({
                "type": "about:blank",
                "title": "Bad Gateway",
                "status": 502,
                "detail": "the endpoint refused the connection",
                "cause": "connect_failed",
                "request_id": "id-1",
                "route": "a \"route\"",
            })
        );
    }

    #[test]
    fn a_bare_answer_is_a_whole_response() {
        let bytes = bare(&Cause::HeadTimeout.answer(), "id-2");
        let text = String::from_utf8(bytes).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(
            head.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{head}"
        );
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{head}"
        );
        assert!(!body.contains("\"route\""), "no route is known: {body}");
    }
}
