//! Many clients at once, some of which leave in the middle of things.

use std::time::Duration;

use crate::client::Client;
use crate::gateway::{ANY, Gateway, until};
use crate::upstream::{Step, Upstream, response};

const CLIENTS: u64 = 40;
const TURNS: usize = 40;

/// Says what it got, slowly for some.
async fn endpoint() -> Upstream {
    Upstream::start(|request| {
        let body = format!("{} {}", request.line(), request.body.len());
        let whole = response("200 OK", "", &body);
        if request.line().contains("slow") {
            let (first, second) = whole.split_at(20);
            vec![
                Step::Send(first.to_vec()),
                Step::Wait(Duration::from_millis(5)),
                Step::Send(second.to_vec()),
            ]
        } else {
            vec![Step::Send(whole)]
        }
    })
    .await
}

/// One client's story; the seed decides it.
async fn client(address: std::net::SocketAddr, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut client = Client::connect(address).await;
    for turn in 0..TURNS {
        let path = format!(
            "/{}/{seed}/{turn}",
            if random.bool() { "slow" } else { "fast" }
        );
        match random.u8(0..8) {
            0..=2 => {
                let answer = client.get(&path).await;
                assert_eq!(answer.text(), format!("get {path} http/1.1 0"));
            }
            3 => {
                let body = vec![b'a'; random.usize(0..3000)];
                let answer = client.post(&path, &body).await;
                assert_eq!(
                    answer.text(),
                    format!("post {path} http/1.1 {}", body.len())
                );
            }
            4 => {
                let chunks = random.usize(1..6);
                client
                    .send(format!(
                        "POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
                    ))
                    .await;
                for _ in 0..chunks {
                    client
                        .send(format!("7530\r\n{}\r\n", "a".repeat(30_000)))
                        .await;
                }
                client.send("0\r\n\r\n").await;
                let answer = client.answer().await;
                assert_eq!(
                    answer.text(),
                    format!("post {path} http/1.1 {}", chunks * 30_000)
                );
            }
            5 => {
                let one = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
                client.send(one.repeat(3)).await;
                for _ in 0..3 {
                    assert_eq!(
                        client.answer().await.text(),
                        format!("get {path} http/1.1 0")
                    );
                }
            }
            6 => {
                // Leaves while its answer is on the way.
                client
                    .send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
                    .await;
                client = Client::connect(address).await;
            }
            _ => {
                // Leaves within its upload.
                client
                    .send(format!(
                        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\nabc"
                    ))
                    .await;
                client = Client::connect(address).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_get_their_own_answers_and_nothing_is_left_behind() {
    let (one, other) = (endpoint().await, endpoint().await);
    let gateway = Gateway::start(ANY, &[one.address, other.address]).await;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|seed| tokio::spawn(client(gateway.address(), seed)))
        .collect();
    for (seed, client) in clients.into_iter().enumerate() {
        let ended = tokio::time::timeout(Duration::from_secs(60), client).await;
        ended
            .unwrap_or_else(|_| panic!("client {seed} hangs"))
            .unwrap_or_else(|error| panic!("client {seed}: {error}"));
    }
    until("every connection is gone", || {
        gateway.serving.connections() == 0
    })
    .await;
    assert_eq!(gateway.serving.in_flight(), 0);
    assert_eq!(gateway.serving.panics(), 0);
    assert_eq!(gateway.metric("pailou_requests_in_flight"), Some(0.0));
    let view = serde_json::to_string(&gateway.service("users").view()).expect("JSON");
    assert!(
        !view.contains("\"reset\""),
        "clients that left ejected nobody: {view}"
    );
}
