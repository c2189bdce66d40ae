//! What endpoints and clients see of each other.

use pailou_upstream::{EndpointSet, EndpointSpec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::gateway::{ANY, Gateway, until};
use crate::upstream::{Step, Upstream, ok, response};

#[tokio::test]
async fn a_request_reaches_the_endpoint_and_the_answer_the_client() {
    let upstream = Upstream::start(|_| ok("hello")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let answer = gateway.connect().await.get("/users/1?a=b&c=%zz").await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(
        upstream.received()[0].line(),
        "get /users/1?a=b&c=%zz http/1.1"
    );
    assert_eq!(upstream.received()[0].header("host"), Some("gateway.test"));
}

#[tokio::test]
async fn one_connection_serves_many_requests_on_both_sides() {
    let upstream = Upstream::start(|_| ok("hello")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    for turn in 0..20 {
        let answer = if turn % 3 == 0 {
            client.post("/a", b"some bytes").await
        } else {
            client.get("/a").await
        };
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
    let received = upstream.received();
    assert_eq!(received.len(), 20);
    assert!(
        received.iter().all(|request| request.connection == 0),
        "one upstream connection"
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start(|request| ok(request.line())).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send(
            "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc\
             GET /3 HTTP/1.1\r\nhost: a\r\n\r\nGET /4 HTTP/1.1\r\nho",
        )
        .await;
    for wanted in ["get /1 http/1.1", "post /2 http/1.1", "get /3 http/1.1"] {
        assert_eq!(client.answer().await.text(), wanted);
    }
    client.send("st: a\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "get /4 http/1.1");
    assert_eq!(upstream.received()[1].body, b"abc");
}

#[tokio::test]
async fn filters_change_the_request_once_and_the_response() {
    let upstream = Upstream::start(|_| {
        vec![Step::Send(response(
            "200 OK",
            "x-internal: 1\r\nx-env: upstream\r\n",
            "ok",
        ))]
    })
    .await;
    let routes = "
routes:
  users:
    path: /api/users/**
    service: users
    strip_prefix: 1
    prefix: /v1
    filters:
      - add_request_header: { name: x-env, value: canary }
      - remove_request_header: { name: cookie }
      - remove_response_header: { name: x-internal }
      - set_response_header: { name: x-env, value: gateway }
";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("GET /api/./%75sers//7?q HTTP/1.1\r\nhost: a\r\ncookie: a=b\r\nx-env: client\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.header("x-env"), Some("gateway"));
    assert_eq!(answer.header("x-internal"), None);
    let received = &upstream.received()[0];
    assert_eq!(received.line(), "get /v1/users/7?q http/1.1");
    assert_eq!(received.header("cookie"), None);
    let values: Vec<&str> = received
        .head
        .lines()
        .filter_map(|line| line.strip_prefix("x-env: "))
        .collect();
    assert_eq!(values, ["client", "canary"]);
}

#[tokio::test]
async fn what_is_of_one_hop_stays_on_it() {
    let upstream = Upstream::start(|_| {
        vec![Step::Send(response(
            "200 OK",
            "connection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\nx-hop: 1\r\nproxy-authenticate: Basic\r\n\
             x-application-context: users:prod:8080\r\n",
            "ok",
        ))]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: x-secret, X-Request-Id\r\nx-secret: 1\r\nte: gzip\r\n\
             keep-alive: 5\r\nproxy-authorization: Basic x\r\nupgrade: h2c\r\nx-application-context: a\r\nuser_id: 7\r\nx-kept: 1\r\n\r\n",
        )
        .await;
    let answer = client.answer().await;
    for gone in [
        "x-hop",
        "keep-alive",
        "proxy-authenticate",
        "x-application-context",
    ] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    let received = &upstream.received()[0];
    for gone in [
        "connection",
        "x-secret",
        "te",
        "keep-alive",
        "proxy-authorization",
        "x-application-context",
        "upgrade",
        "user_id",
    ] {
        assert_eq!(received.header(gone), None, "{gone}: {}", received.head);
    }
    assert_eq!(received.header("x-kept"), Some("1"));
    assert!(
        received.header("x-request-id").is_some(),
        "a client cannot take it away"
    );
}

#[tokio::test]
async fn a_stranger_cannot_say_who_it_is() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send(
            "GET / HTTP/1.1\r\nhost: shop.example:8080\r\nx-forwarded-for: 1.1.1.1\r\nx-forwarded-proto: https\r\n\
             x-forwarded-prefix: /x\r\nforwarded: for=1.1.1.1\r\nx-real-ip: 1.1.1.1\r\nX_Forwarded_For: 1.1.1.1\r\n\r\n",
        )
        .await;
    client.answer().await;
    let received = &upstream.received()[0];
    let wanted = [
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("shop.example:8080")),
        ("x-forwarded-port", Some("8080")),
        ("x-forwarded-prefix", None),
        ("forwarded", None),
        ("x-real-ip", None),
        ("x_forwarded_for", None),
    ];
    for (name, value) in wanted {
        assert_eq!(received.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_FORWARDED_TRUSTED_PROXIES", "127.0.0.0/8")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n\r\n")
        .await;
    client.answer().await;
    let received = &upstream.received()[0];
    assert_eq!(
        received.header("x-forwarded-for"),
        Some("203.0.113.9, 127.0.0.1")
    );
    assert_eq!(received.header("x-forwarded-proto"), Some("https"));
}

#[tokio::test]
async fn a_request_has_one_id_everywhere() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: mine-1\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.header("x-request-id"), Some("mine-1"));
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: \"; drop\r\n\r\n")
        .await;
    let made = client
        .answer()
        .await
        .header("x-request-id")
        .expect("an id")
        .to_owned();
    assert_eq!(made.len(), 36, "{made}");
    let received = upstream.received();
    assert_eq!(received[0].header("x-request-id"), Some("mine-1"));
    assert_eq!(received[1].header("x-request-id"), Some(made.as_str()));
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let upstream = Upstream::start(|request| {
        let bytes: &[u8] = match request.line() {
            "head /h http/1.1" => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            "get /204 http/1.1" => b"HTTP/1.1 204 No Content\r\n\r\n",
            _ => b"HTTP/1.1 304 Not Modified\r\netag: x\r\ncontent-length: 5\r\n\r\n",
        };
        vec![Step::Send(bytes.to_vec())]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send("HEAD /h HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (status, head) = client.head().await;
    assert_eq!(status, 200);
    assert!(head.contains("content-length: 5"), "{head}");
    assert_eq!(client.get("/204").await.status, 204);
    assert_eq!(client.get("/304").await.status, 304);
    assert_eq!(
        client.get("/204").await.status,
        204,
        "nothing was left between the answers"
    );
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let upstream = Upstream::start(|_| {
        vec![Step::Send(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec(),
        )]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
        .await;
    let (status, head) = client.head().await;
    assert_eq!(status, 200);
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(client.rest().await, b"abcde");
}

#[tokio::test]
async fn an_absolute_target_is_forwarded_as_a_path() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client
        .send("GET http://shop.example/a?b HTTP/1.1\r\nhost: shop.example\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(upstream.received()[0].line(), "get /a?b http/1.1");
}

/// `Connection` in several lines is one list. Of 300 POSTs to an endpoint that
/// said `x` in the first line and `close` in the second, 150 were 502: its
/// connection had gone back to the pool.
#[tokio::test]
async fn close_in_any_line_ends_the_endpoints_connection() {
    let upstream = Upstream::start(|_| {
        let fields = "connection: x\r\nconnection: a, Close\r\nconnection: keep-alive\r\n";
        vec![Step::Send(response("200 OK", fields, "ok")), Step::Close]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    for _ in 0..20 {
        assert_eq!(client.post("/", b"some bytes").await.status, 200);
    }
    let received = upstream.received();
    let connections: Vec<usize> = received.iter().map(|request| request.connection).collect();
    assert_eq!(connections, (0..20).collect::<Vec<usize>>());
}

#[tokio::test]
async fn close_in_any_line_ends_the_clients_connection() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    for fields in [
        "connection: close\r\n",
        "connection: x\r\nconnection: a, Close\r\n",
        "connection: close\r\nconnection: keep-alive\r\n",
    ] {
        let mut client = gateway.connect().await;
        client
            .send(&format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
            .await;
        let (status, head) = client.head().await;
        assert_eq!(status, 200, "{fields:?}");
        assert_eq!(
            head.matches("connection: ").collect::<Vec<_>>(),
            ["connection: "],
            "{head}"
        );
        assert!(head.contains("connection: close\r\n"), "{head}");
        assert_eq!(client.rest().await, b"ok", "{fields:?}");
    }
}

/// `OPTIONS *` was 400.
#[tokio::test]
async fn the_server_itself_is_asked_for_its_options() {
    let gateway = Gateway::start(ANY, &[]).await;
    let mut client = gateway.connect().await;
    client.send("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 204);
    assert!(
        answer
            .header("allow")
            .is_some_and(|allow| allow.contains("patch"))
    );
    client.send("GET * HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 400);
}

/// One GET made 240 nested requests.
#[tokio::test]
async fn a_request_that_comes_back_is_508() {
    let one = Gateway::start(ANY, &[]).await;
    let other = Gateway::start(ANY, &[one.address()]).await;
    let endpoint = EndpointSpec::new(other.address());
    one.service("users").update(EndpointSet::of([endpoint]));
    let answer = one.connect().await.get("/").await;
    assert_eq!((answer.status, answer.cause().as_str()), (508, "loop"));
    assert_eq!(one.metric("cause=\"loop\""), Some(1.0));
    assert_eq!(other.metric("cause=\"loop\""), Some(0.0));
    // A request of another gateway, or of a proxy before it, is none.
    let upstream = Upstream::start(|_| ok("ok")).await;
    other
        .service("users")
        .update(EndpointSet::of([EndpointSpec::new(upstream.address)]));
    let mut client = one.connect().await;
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nvia: 1.1 pailou\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 200);
    let via = upstream.received()[0].head.matches("\r\nvia: ").count();
    assert_eq!(via, 3, "{}", upstream.received()[0].head);
}

#[tokio::test]
async fn a_request_is_not_marked_where_the_setting_says_so() {
    let upstream = Upstream::start(|_| ok("ok")).await;
    let settings = [("PAILOU_FORWARDED_VIA", "false")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    assert_eq!(gateway.connect().await.get("/").await.status, 200);
    assert_eq!(upstream.received()[0].header("via"), None);
}

/// What only a proxy may say: services and their frameworks believe it.
#[tokio::test]
async fn a_strangers_claims_are_dropped_and_a_proxys_are_kept() {
    const CLAIMS: [&str; 6] = [
        "proxy",
        "x-original-url",
        "x-rewrite-url",
        "true-client-ip",
        "cf-connecting-ip",
        "front-end-https",
    ];
    let claims = CLAIMS.map(|name| format!("{name}: claimed\r\n")).concat();
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\nx-own: 1\r\n{claims}\r\n");
    let trusted = ("PAILOU_FORWARDED_TRUSTED_PROXIES", "127.0.0.0/8");
    let own = ("PAILOU_FORWARDED_CLAIMS", "x-own");
    for (settings, passed, own_passed) in [
        (vec![], false, true),
        (vec![trusted], true, true),
        (vec![own], true, false),
    ] {
        let upstream = Upstream::start(|_| ok("ok")).await;
        let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
        let mut client = gateway.connect().await;
        client.send(&request).await;
        assert_eq!(client.answer().await.status, 200);
        let received = &upstream.received()[0];
        for name in CLAIMS {
            assert_eq!(
                received.header(name).is_some(),
                passed,
                "{name}: {settings:?}"
            );
        }
        assert_eq!(
            received.header("x-own").is_some(),
            own_passed,
            "{settings:?}"
        );
    }
}

/// A client that had ended its half of the connection got no answer.
#[tokio::test]
async fn a_client_that_half_closes_gets_its_answer() {
    let upstream = Upstream::start(|request| {
        let wait = match request.line().contains("/slow") {
            true => 500,
            false => 0,
        };
        let wait = std::time::Duration::from_millis(wait);
        vec![Step::Wait(wait), Step::Send(response("200 OK", "", "here"))]
    })
    .await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    for path in ["/fast", "/slow"] {
        let mut client = gateway.connect().await;
        client
            .send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await;
        client.stream.shutdown().await.expect("half closed");
        let rest = String::from_utf8(client.rest().await).expect("ASCII");
        let answer = rest.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n");
        let answer = answer.unwrap_or(&rest);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {rest}");
        assert!(answer.ends_with("here"), "{path}: {rest}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{rest}");
    }
    assert_eq!(gateway.metric("cause=\"client_gone\""), Some(0.0));
    gateway_is_empty(&gateway).await;
}

async fn gateway_is_empty(gateway: &Gateway) {
    until("nothing is open", || gateway.serving.connections() == 0).await;
}

/// Some old services take the case of a header's name for a difference.
#[tokio::test]
async fn header_names_are_spelled_as_the_setting_says() {
    for (case, to_endpoint, to_client) in [
        ("lower", "x-uSer-id: 7", "x-Answer-ID: 8"),
        ("as_sent", "X-uSer-Id: 7", "X-Answer-ID: 8"),
        ("title", "X-User-Id: 7", "x-answer-id: 8"),
    ] {
        let (told, mut tell) = tokio::sync::mpsc::channel(1);
        let upstream = Upstream::raw(move |mut stream| {
            let told = told.clone();
            async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.expect("a head"));
                }
                let answer = response("200 OK", "X-Answer-ID: 8\r\n", "ok");
                stream.write_all(&answer).await.expect("sent");
                let _ = told.send(String::from_utf8(head).expect("ASCII")).await;
            }
        })
        .await;
        let settings = [("PAILOU_FORWARDED_HEADER_CASE", case)];
        let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
        let mut client = gateway.connect().await;
        let request = "GET / HTTP/1.1\r\nhost: a\r\nX-uSer-Id: 7\r\nconnection: close\r\n\r\n";
        client.send(request).await;
        let answer = String::from_utf8(client.rest().await).expect("ASCII");
        let (to_endpoint, to_client) = match case {
            "lower" => (to_endpoint.to_lowercase(), to_client.to_lowercase()),
            _ => (to_endpoint.to_owned(), to_client.to_owned()),
        };
        assert!(answer.contains(&to_client), "{case}: {answer}");
        let head = tell.recv().await.expect("a request");
        assert!(head.contains(&to_endpoint), "{case}: {head}");
    }
}

/// HTTP/1.0 knows no Host. Routes without a host serve it; the endpoint, which gets HTTP/1.1, gets its own name.
#[tokio::test]
async fn a_request_of_http_1_0_without_a_host_is_served() {
    let upstream = Upstream::start(|_| ok("in")).await;
    let routes = "routes:\n  any: { path: /any/**, service: users }\n  named: { path: /**, host: a.example, service: users }";
    let gateway = Gateway::start(routes, &[upstream.address]).await;
    for (request, status) in [
        ("GET /any/x HTTP/1.0\r\n\r\n", 200),
        ("GET /x HTTP/1.0\r\n\r\n", 404),
        ("GET /x HTTP/1.0\r\nhost: a.example\r\n\r\n", 200),
        // A URL has a host.
        ("GET http://a.example/x HTTP/1.0\r\n\r\n", 200),
        ("GET http://a%zz/x HTTP/1.0\r\n\r\n", 400),
        ("GET /any/x HTTP/1.1\r\n\r\n", 400),
        ("GET /any/x HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n", 400),
    ] {
        let mut client = gateway.connect().await;
        client.send(request).await;
        assert_eq!(client.answer().await.status, status, "{request}");
    }
    let received = upstream.received();
    let own = upstream.address.to_string();
    assert_eq!(received[0].header("host"), Some(&*own));
    assert_eq!(received[0].header("x-forwarded-host"), None);
    assert_eq!(received[0].header("x-forwarded-port"), Some("80"));
    assert_eq!(received[2].header("x-forwarded-host"), Some("a.example"));
}
