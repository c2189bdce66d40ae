//! That the comparison sees what it must and looks past what it may.

use super::*;

fn headers(lines: &[(&str, &str)]) -> Headers {
    let line = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    lines.iter().map(line).collect()
}

fn upstream(target: &str, lines: &[(&str, &str)], body: &str) -> UpstreamRequest {
    UpstreamRequest {
        backend: "b1".to_owned(),
        method: "GET".to_owned(),
        target: target.to_owned(),
        headers: headers(lines),
        body: body.to_owned(),
        body_len: body.len(),
        ..UpstreamRequest::default()
    }
}

fn answer(status: u16, lines: &[(&str, &str)], body: &str) -> Answer {
    Answer {
        status,
        headers: headers(lines),
        body: body.to_owned(),
        body_len: body.len(),
        ..Answer::default()
    }
}

fn exchange() -> Exchange {
    Exchange {
        route: Some("r".to_owned()),
        further_routes: vec!["fallback".to_owned()],
        upstream: vec![upstream(
            "/a",
            &[("X-A", "1"), ("x-a", "2"), ("Host", "h")],
            "",
        )],
        answer: Some(answer(200, &[("X-B", "1"), ("Content-Length", "2")], "ok")),
    }
}

/// What the comparison says of an exchange after an edit.
fn after(edit: impl FnOnce(&mut Exchange)) -> Vec<String> {
    let mut observed = exchange();
    edit(&mut observed);
    differences(&exchange(), &observed, &Headers::new())
}

fn first(observed: &mut Exchange) -> &mut UpstreamRequest {
    &mut observed.upstream[0]
}

fn given(observed: &mut Exchange) -> &mut Answer {
    observed.answer.as_mut().expect("an answer")
}

#[test]
fn each_kind_of_difference_is_seen() {
    let seen: Vec<(&str, Vec<String>)> = vec![
        ("route", after(|o| o.route = None)),
        ("upstream", after(|o| o.upstream.clear())),
        (
            "upstream",
            after(|o| o.upstream.push(UpstreamRequest::default())),
        ),
        ("upstream", after(|o| first(o).backend = "b2".to_owned())),
        ("upstream", after(|o| first(o).method = "POST".to_owned())),
        ("upstream", after(|o| first(o).target = "/b".to_owned())),
        (
            "upstream 0: header x-a",
            after(|o| first(o).headers.swap(0, 1)),
        ),
        (
            "upstream 0: header x-a",
            after(|o| drop(first(o).headers.remove(0))),
        ),
        (
            "upstream 0: header host",
            after(|o| first(o).headers[2].1 = "i".to_owned()),
        ),
        (
            "upstream 0: header x-c",
            after(|o| first(o).headers.push(("X-C".into(), "".into()))),
        ),
        ("upstream 0: body", after(|o| first(o).body_len = 3)),
        ("answer", after(|o| o.answer = None)),
        ("status", after(|o| given(o).status = 201)),
        ("reason", after(|o| given(o).reason = "Fine".to_owned())),
        (
            "header x-b",
            after(|o| given(o).headers[0].1 = "2".to_owned()),
        ),
        ("header x-b", after(|o| drop(given(o).headers.remove(0)))),
        (
            "header set-cookie",
            after(|o| given(o).headers.push(("Set-Cookie".into(), "a".into()))),
        ),
        (
            "content-length",
            after(|o| given(o).headers[1].1 = "3".to_owned()),
        ),
        ("body", after(|o| given(o).body = "no".to_owned())),
        ("cut short", after(|o| given(o).truncated = true)),
        (
            "interim",
            after(|o| given(o).interim.push("HTTP/1.1 103 Early Hints".to_owned())),
        ),
        (
            "first frame",
            after(|o| given(o).ws_first_frame = Some(String::new())),
        ),
    ];
    for (what, found) in seen {
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        assert!(
            found[0].starts_with(&format!("{what}:")),
            "{what}: {found:?}"
        );
    }
}

#[test]
fn the_case_of_names_and_the_order_of_different_names_do_not_matter() {
    assert_eq!(after(|_| ()), [""; 0]);
    let reordered = after(|o| {
        first(o).headers.rotate_right(1);
        first(o).headers[0].0 = "HOST".to_owned();
    });
    assert_eq!(reordered, [""; 0]);
}

#[test]
fn what_is_the_same_in_every_document_is_looked_past() {
    let recorded = upstream(
        "/",
        &[
            ("user-agent", "ReactorNetty/1.2.18"),
            ("accept", "*/*"),
            ("content-length", "0"),
        ],
        "",
    );
    let observed = upstream(
        "/",
        &[("via", "1.1 p"), ("x-forwarded-for", "127.0.0.1")],
        "",
    );
    assert_eq!(
        upstream_differences(&recorded, &observed, &Headers::new()),
        [""; 0]
    );
    // What a client says of itself is its own.
    let chosen = upstream(
        "/",
        &[("user-agent", "curl/8"), ("accept", "text/html")],
        "",
    );
    assert_eq!(
        upstream_differences(&recorded, &chosen, &Headers::new()).len(),
        2
    );
    // A forwarded field is ours, or it is the client's.
    let sent = headers(&[("X-Forwarded-For", "1.2.3.4")]);
    let leaked = upstream("/", &[("x-forwarded-for", "1.2.3.4, 127.0.0.1")], "");
    assert_eq!(upstream_differences(&recorded, &leaked, &sent).len(), 1);
    // Where Spring writes one, it is compared.
    let written = upstream("/", &[("X-Forwarded-For", "127.0.0.2")], "");
    assert_eq!(
        upstream_differences(&written, &observed, &Headers::new()).len(),
        1
    );
}

#[test]
fn an_error_of_the_gateways_own_has_the_status_but_not_the_body() {
    let body = r#"{"timestamp":"2026-11-22T04:26:21.779+00:00","path":"/","status":404}"#;
    let spring = answer(404, &[("Content-Type", "application/json")], body);
    let kind = [
        ("content-type", "application/problem+json"),
        ("x-request-id", "1"),
    ];
    assert_eq!(
        answer_differences(&spring, &answer(404, &kind, "{}")),
        [""; 0]
    );
    let bare = answer(429, &[("X-RateLimit-Remaining", "0")], "");
    let counted = [kind[0], ("x-ratelimit-remaining", "2")];
    assert_eq!(
        answer_differences(&bare, &answer(429, &counted, "{}")),
        [""; 0]
    );
    assert_eq!(
        answer_differences(&bare, &answer(429, &kind, "{}")).len(),
        1
    );
    assert_eq!(
        answer_differences(&spring, &answer(502, &kind, "{}")).len(),
        1
    );
    // An error that a backend answered is a body like any other.
    let backend = answer(500, &[("X-Backend", "b1")], "oh");
    assert_ne!(
        answer_differences(&backend, &answer(500, &kind, "{}")),
        [""; 0]
    );
}

#[test]
fn what_depends_on_the_moment_is_looked_past() {
    let aged = |age: &str| fields(&headers(&[("cache-control", age)]));
    assert!(one_second_apart(&aged("max-age=59"), &aged("max-age=60")));
    assert!(!one_second_apart(&aged("max-age=57"), &aged("max-age=60")));
    let forwarded = |text: &str| fields(&headers(&[("Forwarded", text)]));
    assert_eq!(
        forwarded("proto=http;host=\"a:80\";for=\"127.0.0.1:5000\""),
        forwarded("proto=http;host=\"a:80\";for=\"127.0.0.1:5001\"")
    );
    assert_ne!(
        forwarded("proto=http;for=\"127.0.0.1:5000\""),
        forwarded("proto=http;for=\"127.0.0.2:5000\"")
    );
}

#[test]
fn shares_may_differ_by_chance_and_no_further() {
    let shares = |b1: u32, b2: u32| {
        let all = [("200:b1".to_owned(), b1), ("200:b2".to_owned(), b2)];
        all.into_iter()
            .filter(|(_, count)| *count > 0)
            .collect::<BTreeMap<_, _>>()
    };
    let differ = |r: (u32, u32), o: (u32, u32)| {
        !distribution_differences(&shares(r.0, r.1), &shares(o.0, o.1)).is_empty()
    };
    assert!(!differ((235, 65), (240, 60)));
    assert!(differ((235, 65), (150, 150)));
    assert!(differ((235, 65), (300, 0)));
    assert!(!differ((60, 0), (60, 0)));
    assert!(differ((60, 0), (0, 60)));
}

#[test]
fn a_fallbacks_route_and_words_of_nettys_own_are_looked_past() {
    assert_eq!(after(|o| o.route = Some("fallback".to_owned())), [""; 0]);
    assert_eq!(after(|o| o.route = Some("another".to_owned())).len(), 1);
    let says = |status: u16, reason: &str| Answer {
        reason: reason.to_owned(),
        ..answer(status, &[], "")
    };
    for (recorded, observed, agree) in [
        (says(200, "OK"), says(200, "OK"), true),
        (says(200, "OK"), says(200, "Okay"), false),
        (
            says(413, "Request Entity Too Large"),
            says(413, "Content Too Large"),
            true,
        ),
        (says(299, "Success (299)"), says(299, "Odd"), true),
        (says(299, "Success (300)"), says(299, "Odd"), false),
    ] {
        let differences = answer_differences(&recorded, &observed);
        assert_eq!(differences.is_empty(), agree, "{differences:?}");
    }
}
