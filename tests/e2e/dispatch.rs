//! From a path to the route that answers: forwarding, encoded slashes, and whose Host the endpoint gets.

use serde_json::Value;

use crate::support::world::{World, until_status};

const ROUTES: &str = "
routes:
  /api/users/**: { service: user-service, strip_prefix: 1 }
  /old/**:
    forward: /api/users/headers
    filters: [ { set_request_header: { name: x-from, value: old } }, { set_response_header: { name: x-old, value: yes } } ]
  /older/**: { forward: /old/x }
  /a-loop/**: { forward: /b-loop/x }
  /b-loop/**: { forward: /a-loop/x }
  /to-nowhere: { forward: /nobody }
  /kept/**: { service: user-service, encoded_slashes: keep }
  /decoded/**: { service: user-service, encoded_slashes: decode }
  /decoded/own/**: { service: user-service, encoded_slashes: decode }
  /named/**: { service: user-service, strip_prefix: 1, preserve_host: false }
";

async fn seen(url: String) -> (u16, reqwest::header::HeaderMap, Value) {
    let answer = reqwest::get(url).await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.expect("a body");
    (
        status,
        headers,
        serde_json::from_str(&text).unwrap_or_default(),
    )
}

fn header<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    let mut headers = body["headers"].as_array()?.iter();
    headers.find(|header| header[0] == name)?[1].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_forwards_to_the_route_that_takes_another_path() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(ROUTES).await;
    until_status(&gateway.url("/older/1?q=1"), 200).await;

    let (status, headers, body) = seen(gateway.url("/older/1?q=1")).await;
    assert_eq!(status, 200);
    assert_eq!(body["target"], "/users/headers?q=1", "{body}");
    assert_eq!(
        header(&body, "x-from"),
        Some("old"),
        "the filters of each route have run: {body}"
    );
    assert_eq!(headers["x-old"], "yes", "the response passes them too");

    // Routes that forward to each other end, and say so.
    let (status, _, problem) = seen(gateway.url("/a-loop/x")).await;
    assert_eq!(
        (status, &problem["cause"]),
        (508, &Value::from("loop")),
        "{problem}"
    );
    let (status, _, problem) = seen(gateway.url("/to-nowhere")).await;
    assert_eq!(
        (status, &problem["cause"]),
        (404, &Value::from("no_route")),
        "{problem}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_slash_is_refused_kept_or_decoded_as_the_route_says() {
    let (world, _upstream, _registered, gateway) = World::small().await;
    world.publish(ROUTES).await;
    until_status(&gateway.url("/kept/headers"), 200).await;
    for (path, expected) in [
        ("/api/users/a%2Fb", Err(400)),
        ("/kept/a%2fb/headers", Ok("/kept/a%2Fb/headers")),
        ("/kept/a%2F..%2Fb", Err(400)),
        ("/decoded/a%2Fheaders", Ok("/decoded/a/headers")),
        // Decoded it belongs to another route, whose rules may be others.
        ("/decoded/own%2Fb", Err(400)),
        ("/nobody/a%2Fb", Err(400)),
    ] {
        let (status, _, body) = seen(gateway.url(path)).await;
        match expected {
            Ok(target) => assert_eq!(
                (status, &body["target"]),
                (200, &Value::from(target)),
                "{path}"
            ),
            Err(expected) => assert_eq!(status, expected, "{path}: {body}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_gets_its_own_name_where_the_route_says_so() {
    let (world, upstream, _registered, gateway) = World::small().await;
    world.publish(ROUTES).await;
    until_status(&gateway.url("/named/headers"), 200).await;
    let (_, _, body) = seen(gateway.url("/named/headers")).await;
    let own = upstream.address().to_string();
    assert_eq!(header(&body, "host"), Some(&*own), "{body}");
    let came = gateway.data().to_string();
    assert_eq!(header(&body, "x-forwarded-host"), Some(&*came), "{body}");
    let (_, _, body) = seen(gateway.url("/kept/headers")).await;
    assert_eq!(header(&body, "host"), Some(&*came), "{body}");
}
