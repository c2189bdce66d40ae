//! Protocols that a request may switch to, and header names that it may not have.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::gateway::{ANY, Gateway};
use crate::upstream::{Step, Upstream, ok, read_head, response};

/// An endpoint that switches to this protocol and says back what it hears.
async fn echoes(protocol: &'static str) -> Upstream {
    Upstream::raw(move |mut stream| async move {
        let Some(head) = read_head(&mut stream).await else {
            return;
        };
        assert!(head.contains("\r\nupgrade: "), "{head}");
        let switch = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n"
        );
        let _ = stream.write_all(switch.as_bytes()).await;
        let mut bytes = [0; 64];
        while let Ok(read @ 1..) = stream.read(&mut bytes).await {
            let _ = stream.write_all(&bytes[..read]).await;
        }
    })
    .await
}

fn ask(protocols: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: {protocols}\r\n\r\n")
}

#[tokio::test]
async fn a_protocol_of_the_setting_passes_and_no_other() {
    let settings = [("PAILOU_FORWARDED_UPGRADES", "x-chat/1")];
    let upstream = echoes("X-Chat/1").await;
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send(ask("h2c, x-chat/1")).await;
    let (status, head) = client.head().await;
    assert_eq!(status, 101, "{head}");
    assert!(head.contains("\r\nupgrade: x-chat/1\r\n"), "{head}");
    client.send("hello").await;
    assert_eq!(client.exactly(5).await, b"hello");

    let upstream = Upstream::start(|_| ok("plain")).await;
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send(ask("websocket")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "plain"));
    let received = upstream.received();
    assert_eq!(received[0].header("upgrade"), None, "{received:?}");
    assert_eq!(received[0].header("connection"), None, "{received:?}");
}

#[tokio::test]
async fn an_endpoint_that_switches_to_something_else_is_cut() {
    let upstream = echoes("x-surprise").await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send(ask("websocket")).await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, &*answer.cause()),
        (502, "upstream_malformed")
    );
}

#[tokio::test]
async fn an_answer_that_asks_for_an_upgrade_says_which() {
    let fields = "connection: upgrade\r\nupgrade: x-chat/2\r\n";
    let upgrade = Step::Send(response("426 Upgrade Required", fields, ""));
    let upstream = Upstream::start(move |_| vec![upgrade.clone()]).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let answer = gateway.connect().await.get("/").await;
    assert_eq!(answer.status, 426);
    assert_eq!(answer.header("upgrade"), Some("x-chat/2"));
    assert_eq!(answer.header("connection"), Some("keep-alive, upgrade"));
}

#[tokio::test]
async fn header_names_with_underscores_go_stay_or_are_refused() {
    let fields = "user_id: 7\r\nx_forwarded_for: 1.1.1.1\r\n";
    for (setting, status, user) in [
        (None, 200, None),
        (Some("drop"), 200, None),
        (Some("keep"), 200, Some("7")),
        (Some("refuse"), 400, None),
    ] {
        let upstream = Upstream::start(|_| ok("")).await;
        let settings = setting.map(|value| ("PAILOU_FORWARDED_UNDERSCORES", value));
        let settings: Vec<_> = settings.into_iter().collect();
        let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
        let mut client = gateway.connect().await;
        client
            .send(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{setting:?}");
        match upstream.received().first() {
            Some(request) => {
                assert_eq!(request.header("user_id"), user, "{setting:?}");
                assert_eq!(request.header("x_forwarded_for"), None, "{setting:?}");
            }
            None => assert_eq!(answer.cause(), "header_name"),
        }
    }
}
