//! What holds whatever is spoken with the client and with the endpoint.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use pailou_upstream::Http;
use tokio::sync::Notify;

use super::client::{Answer, pieces, whole};
use super::{NAME, Pair};
use crate::gateway::until;

const MIB: usize = 1 << 20;

pub(super) type Behaviour = for<'a> fn(&'a Pair<'a>) -> BoxFuture<'a, ()>;

macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |pair| Box::pin($name(pair)))),*]
    };
}

/// All of them, by name.
pub(super) const BEHAVIOURS: &[(&str, Behaviour)] = behaviours![
    a_get_is_answered,
    target_and_fields_are_kept,
    the_endpoint_is_told_of_the_client,
    a_connection_serves_many_requests,
    a_mebibyte_goes_up,
    a_mebibyte_of_unknown_length_goes_up,
    a_mebibyte_comes_down,
    pieces_pass_both_ways_at_once,
    trailers_pass,
    statuses_pass,
    a_head_has_a_length_and_no_body,
    a_204_has_neither,
    a_client_that_leaves_ends_the_work,
    an_endpoint_that_dies_is_502,
    an_endpoint_that_dies_in_its_answer_cuts_it,
    a_late_answer_is_504,
    an_early_answer_does_not_wait_for_the_body,
    events_come_one_by_one,
    a_body_waits_for_100_continue,
    fields_of_one_hop_stay_there,
];

async fn a_get_is_answered(pair: &Pair<'_>) {
    let answer = pair.connect().await.ask(Method::GET, "/mirror").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.text().starts_with("GET /mirror\n"),
        "{}",
        answer.text()
    );
    assert!(answer.headers.contains_key("x-request-id"), "{answer:?}");
}

async fn target_and_fields_are_kept(pair: &Pair<'_>) {
    let mut client = pair.connect().await;
    let request = client
        .request(Method::PUT, "/a%20b/mirror?a=%2F&b=%zz&&c")
        .header("x-own", "Some  Value")
        .header("x-two", "1")
        .header("x-two", "2")
        .header("accept", "text/plain;q=0.5, */*")
        .body(whole(""));
    let answer = Answer::of(client.send(request.expect("a request")).await).await;
    let lines: Vec<&str> = answer.text().lines().collect();
    assert_eq!(lines[0], "PUT /a%20b/mirror?a=%2F&b=%zz&&c");
    for line in [
        "x-own: Some  Value",
        "x-two: 1",
        "x-two: 2",
        "accept: text/plain;q=0.5, */*",
    ] {
        assert!(lines.contains(&line), "{line}: {lines:?}");
    }
}

async fn the_endpoint_is_told_of_the_client(pair: &Pair<'_>) {
    let answer = pair.connect().await.ask(Method::GET, "/mirror").await;
    let lines: Vec<&str> = answer.text().lines().collect();
    let scheme = if pair.client.tls { "https" } else { "http" };
    let port = if pair.client.tls { 443 } else { 80 };
    for line in [
        format!("host: {NAME}"),
        "x-forwarded-for: 127.0.0.1".to_owned(),
        format!("x-forwarded-host: {NAME}"),
        format!("x-forwarded-proto: {scheme}"),
        format!("x-forwarded-port: {port}"),
    ] {
        let found = lines.iter().filter(|found| **found == line).count();
        assert_eq!(found, 1, "{line}: {lines:?}");
    }
}

async fn a_connection_serves_many_requests(pair: &Pair<'_>) {
    let mut client = pair.connect().await;
    for number in 0..20 {
        let target = format!("/mirror?{number}");
        let answer = client.ask(Method::GET, &target).await;
        assert_eq!(
            answer.text().lines().next(),
            Some(&*format!("GET {target}"))
        );
        let answer = client.post("/count", whole(vec![b'x'; number])).await;
        assert_eq!(answer.text(), format!("{number} none"));
    }
}

async fn a_mebibyte_goes_up(pair: &Pair<'_>) {
    let answer = pair
        .connect()
        .await
        .post("/count", whole(vec![b'x'; MIB]))
        .await;
    assert_eq!((answer.status, answer.text()), (200, "1048576 none"));
}

async fn a_mebibyte_of_unknown_length_goes_up(pair: &Pair<'_>) {
    let (sender, body) = pieces();
    let piece = Bytes::from(vec![b'x'; MIB / 64]);
    let sending = async move {
        for _ in 0..64 {
            sender
                .send(Frame::data(piece.clone()))
                .await
                .expect("taken");
            tokio::task::yield_now().await;
        }
    };
    let mut client = pair.connect().await;
    let (answer, ()) = tokio::join!(client.post("/count", body), sending);
    assert_eq!((answer.status, answer.text()), (200, "1048576 none"));
}

async fn a_mebibyte_comes_down(pair: &Pair<'_>) {
    let answer = pair.connect().await.ask(Method::GET, "/big/1048576").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-length"], "1048576");
    assert!(answer.body.len() == MIB && answer.body.iter().all(|byte| *byte == b'x'));
}

async fn pieces_pass_both_ways_at_once(pair: &Pair<'_>) {
    let mut client = pair.connect().await;
    let (sender, body) = pieces();
    let request = client.request(Method::POST, "/echo").body(body);
    let mut answer = client.send(request.expect("a request")).await.into_body();
    for number in 0..5 {
        let piece = format!("piece {number}");
        sender
            .try_send(Frame::data(piece.clone().into()))
            .expect("taken");
        assert_eq!(
            next(&mut answer, piece.len()).await,
            piece,
            "before the next is sent"
        );
    }
    drop(sender);
    assert!(
        answer
            .collect()
            .await
            .expect("an end")
            .to_bytes()
            .is_empty()
    );
}

async fn trailers_pass(pair: &Pair<'_>) {
    let mut client = pair.connect().await;
    let (sender, body) = pieces();
    let mut request = client
        .request(Method::POST, "/count")
        .header("te", "trailers");
    if pair.client.http == Http::Http1 {
        request = request
            .header("connection", "te")
            .header("trailer", "x-sum");
    }
    sender
        .try_send(Frame::data(Bytes::from_static(b"some")))
        .expect("taken");
    let sum = (
        HeaderName::from_static("x-sum"),
        HeaderValue::from_static("42"),
    );
    sender
        .try_send(Frame::trailers(HeaderMap::from_iter([sum])))
        .expect("taken");
    drop(sender);
    let answer = client.send(request.body(body).expect("a request")).await;
    let answer = Answer::of(answer).await;
    // In HTTP/1.1 they pass where they are announced.
    let is_announced = pair.client.http == Http::Http1 || pair.endpoint.http == Http::Http2;
    let sum = if is_announced { "42" } else { "none" };
    assert_eq!(answer.text(), format!("4 {sum}"));
    let got = answer.trailers.get("x-sum").map(HeaderValue::as_bytes);
    assert_eq!(got, Some(sum.as_bytes()), "{answer:?}");
}

async fn statuses_pass(pair: &Pair<'_>) {
    let mut client = pair.connect().await;
    for status in [404, 201, 400, 418, 500, 503] {
        let answer = client.ask(Method::GET, &format!("/status/{status}")).await;
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.text(),
            format!("status {status}"),
            "the endpoint's own words"
        );
    }
}

async fn a_head_has_a_length_and_no_body(pair: &Pair<'_>) {
    let mut client = pair.connect().await;
    for _ in 0..2 {
        let answer = client.ask(Method::HEAD, "/big/1000").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-length"], "1000");
        assert!(answer.body.is_empty());
    }
}

async fn a_204_has_neither(pair: &Pair<'_>) {
    let mut client = pair.connect().await;
    for _ in 0..2 {
        let answer = client.ask(Method::GET, "/status/204").await;
        assert_eq!((answer.status, answer.text()), (204, ""));
        assert!(!answer.headers.contains_key("content-length"), "{answer:?}");
        assert!(
            !answer.headers.contains_key("transfer-encoding"),
            "{answer:?}"
        );
    }
}

async fn a_client_that_leaves_ends_the_work(pair: &Pair<'_>) {
    until("nothing is under way", || pair.seen.active() == 0).await;
    let mut client = pair.connect().await;
    {
        let request = client.request(Method::GET, "/never").body(whole(""));
        let mut asked = std::pin::pin!(client.send(request.expect("a request")));
        tokio::select! {
            answer = &mut asked => panic!("{answer:?}"),
            () = until("the endpoint works", || pair.seen.active() == 1) => {}
        }
    }
    if pair.client.http == Http::Http1 {
        // Over HTTP/2 its stream has gone with the request.
        drop(client);
    }
    until("the endpoint has nothing to do", || pair.seen.active() == 0).await;
    until("nor has the gateway", || {
        pair.gateway.serving.in_flight() == 0
    })
    .await;
}

async fn an_endpoint_that_dies_is_502(pair: &Pair<'_>) {
    let answer = pair.connect().await.post("/die", whole("x")).await;
    assert_eq!((answer.status, &*answer.cause()), (502, "upstream_reset"));
    let answer = pair.connect().await.ask(Method::GET, "/mirror").await;
    assert_eq!(
        answer.status, 200,
        "it is asked again, since there is no other"
    );
}

async fn an_endpoint_that_dies_in_its_answer_cuts_it(pair: &Pair<'_>) {
    let mut client = pair.connect().await;
    let request = client.request(Method::GET, "/half").body(whole(""));
    let mut answer = client.send(request.expect("a request")).await.into_body();
    assert_eq!(next(&mut answer, 4).await, "half");
    let end = answer.collect().await;
    assert!(end.is_err(), "no end that looks like one: {end:?}");
}

async fn a_late_answer_is_504(pair: &Pair<'_>) {
    let answer = pair.connect().await.ask(Method::GET, "/slow/never").await;
    assert_eq!((answer.status, &*answer.cause()), (504, "response_timeout"));
    until("the endpoint has nothing to do", || pair.seen.active() == 0).await;
}

async fn an_early_answer_does_not_wait_for_the_body(pair: &Pair<'_>) {
    let mut client = pair.connect().await;
    let (sender, body) = pieces();
    sender
        .try_send(Frame::data(Bytes::from_static(b"first")))
        .expect("taken");
    let request = client.request(Method::POST, "/early").body(body);
    let answer = Answer::of(client.send(request.expect("a request")).await).await;
    assert_eq!((answer.status, answer.text()), (413, "early"));
    drop(sender);
    until("nothing is left", || pair.gateway.serving.in_flight() == 0).await;
}

async fn events_come_one_by_one(pair: &Pair<'_>) {
    let mut client = pair.connect().await;
    let request = client.request(Method::GET, "/events").body(whole(""));
    let answer = client.send(request.expect("a request")).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut events = answer.into_body();
    for number in 1..=3 {
        let event = format!("data: {number}\n\n");
        assert_eq!(next(&mut events, event.len()).await, event);
        if number < 3 {
            pair.seen.go_on();
        }
    }
    assert!(
        events
            .collect()
            .await
            .expect("an end")
            .to_bytes()
            .is_empty()
    );
}

/// In HTTP/1.1 the client waits. In HTTP/2 a stream's window holds a body back, and
/// nobody waits.
async fn a_body_waits_for_100_continue(pair: &Pair<'_>) {
    let waits = pair.client.http == Http::Http1;
    let told = Arc::new(Notify::new());
    let mut client = pair.connect().await;
    let (sender, body) = pieces();
    let request = client
        .request(Method::POST, "/count")
        .header("expect", "100-continue");
    let mut request = request.body(body).expect("a request");
    let tells = told.clone();
    hyper::ext::on_informational(&mut request, move |interim| {
        if interim.status() == 100 {
            tells.notify_one();
        }
    });
    let sending = async move {
        if waits {
            told.notified().await;
        }
        sender
            .try_send(Frame::data(Bytes::from_static(b"some")))
            .expect("taken");
    };
    let (answer, ()) = tokio::join!(client.send(request), sending);
    let answer = Answer::of(answer).await;
    assert_eq!((answer.status, answer.text()), (200, "4 none"));

    // An endpoint that wants no body says so instead.
    let mut client = pair.connect().await;
    let (_sender, body) = pieces();
    let request = client
        .request(Method::POST, "/early")
        .header("expect", "100-continue");
    let answer = client.send(request.body(body).expect("a request")).await;
    assert_eq!(Answer::of(answer).await.status, 413);
}

async fn fields_of_one_hop_stay_there(pair: &Pair<'_>) {
    let mut client = pair.connect().await;
    let mut request = client
        .request(Method::GET, "/mirror")
        .header("proxy-authorization", "Basic x")
        .header("x-kept", "1");
    if pair.client.http == Http::Http1 {
        request = request
            .header("connection", "x-own, close")
            .header("x-own", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-connection", "keep-alive")
            .header("te", "gzip");
    }
    let answer = client
        .send(request.body(whole("")).expect("a request"))
        .await;
    let answer = Answer::of(answer).await;
    assert!(answer.text().contains("x-kept: 1\n"), "{}", answer.text());
    for name in [
        "connection",
        "x-own",
        "keep-alive",
        "proxy-connection",
        "te",
        "proxy-authorization",
    ] {
        assert!(
            !answer.text().contains(&format!("\n{name}: ")),
            "{}",
            answer.text()
        );
    }
    let answer = pair.connect().await.ask(Method::GET, "/hops").await;
    assert_eq!((answer.status, answer.text()), (200, "hops"));
    assert!(answer.headers.contains_key("x-kept"), "{answer:?}");
    for name in [
        "x-own",
        "keep-alive",
        "proxy-authenticate",
        "x-application-context",
    ] {
        let is_nominated = name == "x-own";
        let passes = is_nominated && pair.endpoint.http == Http::Http2;
        assert!(
            passes || !answer.headers.contains_key(name),
            "{name}: {answer:?}"
        );
    }
}

/// The next so many bytes of a body.
async fn next(body: &mut Incoming, bytes: usize) -> String {
    let mut got = Vec::new();
    while got.len() < bytes {
        let frame = body
            .frame()
            .await
            .expect("more of the body")
            .expect("no error");
        if let Ok(data) = frame.into_data() {
            got.extend_from_slice(&data);
        }
    }
    String::from_utf8(got).expect("UTF-8")
}
