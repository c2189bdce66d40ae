//! WebSockets at the gateway's end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::gateway::{ANY, Gateway, until};
use crate::upstream::{Upstream, read_head, read_head_as_sent};
use crate::websockets_http2::{SWITCHES, accept, connect, open};

trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// A WebSocket through the gateway, as both of its ends see it.
struct Pair {
    gateway: Gateway,
    _upstream: Upstream,
    client: Box<dyn Bytes>,
    endpoint: TcpStream,
}

const GOING_AWAY: [u8; 4] = [0x88, 2, 3, 0xe9];
/// A Close frame of a client: 1001 behind a mask of zeros.
const MASKED_GOING_AWAY: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 3, 0xe9];
const HELLO: &[u8] = b"\x81\x05hello";
const MASKED_HELLO: &[u8] = b"\x81\x85\0\0\0\0hello";

impl Pair {
    async fn open(over_http2: bool) -> Pair {
        let (switched, mut streams) = mpsc::channel(1);
        let upstream = Upstream::raw(move |mut stream| {
            let switched = switched.clone();
            async move {
                let head = read_head_as_sent(&mut stream).await.expect("a head");
                let answer = format!("{SWITCHES}sec-websocket-accept: {}\r\n\r\n", accept(&head));
                stream.write_all(answer.as_bytes()).await.expect("sent");
                let _ = switched.try_send(stream);
            }
        })
        .await;
        let gateway = Gateway::start(ANY, &[upstream.address]).await;
        let client: Box<dyn Bytes> = match over_http2 {
            true => Box::new(open(&mut connect(&gateway).await, "/chat").await),
            false => Box::new(
                ask(
                    &gateway,
                    "websocket",
                    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                )
                .await,
            ),
        };
        Pair {
            gateway,
            _upstream: upstream,
            client,
            endpoint: streams.recv().await.expect("the endpoint's side"),
        }
    }

    /// Both ends hear each other.
    async fn talk(&mut self) {
        self.client.write_all(MASKED_HELLO).await.expect("sent");
        self.client.flush().await.expect("sent");
        assert_eq!(
            take(&mut self.endpoint, MASKED_HELLO.len()).await,
            MASKED_HELLO
        );
        self.endpoint.write_all(HELLO).await.expect("sent");
        assert_eq!(take(&mut self.client, HELLO.len()).await, HELLO);
    }

    async fn client_says(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.expect("sent");
        self.client.flush().await.expect("sent");
    }

    async fn endpoint_says(&mut self, bytes: &[u8]) {
        self.endpoint.write_all(bytes).await.expect("sent");
    }

    /// The client has a Close frame as the next thing that comes.
    async fn client_is_told(&mut self) {
        assert_eq!(take(&mut self.client, 4).await, GOING_AWAY);
    }

    /// So has the endpoint, behind a mask.
    async fn endpoint_is_told(&mut self) {
        let frame = take(&mut self.endpoint, 8).await;
        assert_eq!(&frame[..2], [0x88, 0x82]);
        let code: Vec<u8> = (0..2).map(|at| frame[6 + at] ^ frame[2 + at]).collect();
        assert_eq!(code, [3, 0xe9]);
    }

    /// The gateway has ended, soon, and neither end has got anything more.
    async fn ends_within(mut self, within: Duration) {
        let idle = tokio::time::timeout(within, self.gateway.serving.idle());
        idle.await.expect("the gateway is idle soon");
        for end in [
            &mut self.client,
            &mut (Box::new(self.endpoint) as Box<dyn Bytes>),
        ] {
            let mut rest = Vec::new();
            let _ = end.read_to_end(&mut rest).await;
            assert_eq!(rest, b"");
        }
        assert_eq!(self.gateway.metric("pailou_tasks_ended_total"), Some(0.0));
    }
}

/// Asks for a switch over HTTP/1.1, and gets it.
async fn ask(gateway: &Gateway, protocol: &str, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address())
        .await
        .expect("connect");
    let head = format!(
        "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let answer = read_head(&mut stream).await.expect("an answer");
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    stream
}

async fn take(from: &mut (impl AsyncRead + Unpin), bytes: usize) -> Vec<u8> {
    let mut taken = vec![0; bytes];
    let read = tokio::time::timeout(Duration::from_secs(10), from.read_exact(&mut taken));
    read.await.expect("it comes").expect("it comes whole");
    taken
}

/// Nothing comes for a while.
async fn is_silent(from: &mut (impl AsyncRead + Unpin)) {
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(300), from.read(&mut byte)).await;
    assert!(read.is_err(), "{read:?} {byte:?}");
}

/// Well below the time that a side has for its Close.
const SOON: Duration = Duration::from_secs(4);

#[tokio::test]
async fn both_ends_are_told_and_it_is_over_when_both_have_answered() {
    for over_http2 in [false, true] {
        let mut pair = Pair::open(over_http2).await;
        pair.talk().await;
        pair.gateway.serving.begin_drain();
        pair.talk().await;
        pair.gateway.serving.stop_accepting();
        pair.client_is_told().await;
        pair.endpoint_is_told().await;
        // What they still have to say reaches nobody who is not there any more.
        pair.client_says(MASKED_HELLO).await;
        pair.endpoint_says(HELLO).await;
        pair.client_says(&MASKED_GOING_AWAY).await;
        is_silent(&mut pair.client).await;
        pair.endpoint_says(&GOING_AWAY).await;
        pair.ends_within(SOON).await;
    }
}

#[tokio::test]
async fn a_frame_under_way_is_finished_first() {
    for over_http2 in [false, true] {
        let mut pair = Pair::open(over_http2).await;
        pair.client_says(&MASKED_HELLO[..3]).await;
        pair.endpoint_says(&HELLO[..1]).await;
        assert_eq!(take(&mut pair.endpoint, 3).await, &MASKED_HELLO[..3]);
        assert_eq!(take(&mut pair.client, 1).await, &HELLO[..1]);
        pair.gateway.serving.stop_accepting();
        is_silent(&mut pair.client).await;
        is_silent(&mut pair.endpoint).await;
        // The rest, another message, and the answer to a Close that is not there yet.
        let rest = [&MASKED_HELLO[3..], MASKED_HELLO, &MASKED_GOING_AWAY].concat();
        pair.client_says(&rest).await;
        let finished = take(&mut pair.endpoint, MASKED_HELLO.len() - 3).await;
        assert_eq!(finished, &MASKED_HELLO[3..]);
        pair.endpoint_is_told().await;
        pair.endpoint_says(&[&HELLO[1..], HELLO, &GOING_AWAY].concat())
            .await;
        assert_eq!(take(&mut pair.client, HELLO.len() - 1).await, &HELLO[1..]);
        pair.client_is_told().await;
        pair.ends_within(SOON).await;
    }
}

#[tokio::test]
async fn a_close_that_has_passed_needs_no_other() {
    let mut pair = Pair::open(false).await;
    let leaving = [0x88, 0x80, 1, 2, 3, 4];
    pair.client_says(&leaving).await;
    assert_eq!(take(&mut pair.endpoint, 6).await, leaving);
    pair.gateway.serving.stop_accepting();
    pair.client_is_told().await;
    is_silent(&mut pair.endpoint).await;
    pair.endpoint_says(&[0x88, 0]).await;
    pair.ends_within(SOON).await;
}

#[tokio::test]
async fn who_does_not_answer_is_waited_for_a_moment() {
    let mut pair = Pair::open(false).await;
    pair.talk().await;
    pair.gateway.serving.stop_accepting();
    let began = Instant::now();
    pair.client_is_told().await;
    pair.endpoint_is_told().await;
    pair.client_says(&MASKED_GOING_AWAY).await;
    pair.ends_within(Duration::from_secs(15)).await;
    let took = began.elapsed();
    assert!(took > Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn an_end_that_leaves_instead_of_answering_ends_it() {
    let mut pair = Pair::open(false).await;
    pair.talk().await;
    pair.gateway.serving.stop_accepting();
    pair.client_is_told().await;
    pair.endpoint_is_told().await;
    pair.endpoint.shutdown().await.expect("left");
    pair.ends_within(SOON).await;
}

/// Of any other protocol nobody here knows how it says goodbye.
#[tokio::test]
async fn another_protocol_gets_no_byte_and_goes_on() {
    let upstream = Upstream::raw(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        let head =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x-chat/1\r\n\r\n";
        stream.write_all(head).await.expect("sent");
        let mut bytes = [0; 64];
        while let Ok(read @ 1..) = stream.read(&mut bytes).await {
            let _ = stream.write_all(&bytes[..read]).await;
        }
    })
    .await;
    let settings = [("PAILOU_FORWARDED_UPGRADES", "x-chat/1")];
    let gateway = Gateway::with(&settings, ANY, &[upstream.address]).await;
    let mut client = ask(&gateway, "x-chat/1", "").await;
    gateway.serving.stop_accepting();
    is_silent(&mut client).await;
    client.write_all(b"still there").await.expect("sent");
    assert_eq!(take(&mut client, 11).await, b"still there");
    assert_eq!(gateway.serving.in_flight(), 1);
    drop(client);
    until("it is over", || gateway.serving.in_flight() == 0).await;
}

/// Nothing comes any more, and it is known.
async fn has_ended(from: &mut (impl AsyncRead + Unpin)) {
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_secs(10), from.read(&mut byte));
    assert_eq!(read.await.expect("it comes").expect("an end"), 0);
}

/// Whoever had said all that it had to say was cut off from the answer.
#[tokio::test]
async fn whoever_ends_its_half_still_hears_the_other() {
    for over_http2 in [false, true] {
        let mut pair = Pair::open(over_http2).await;
        pair.talk().await;
        pair.client.shutdown().await.expect("ended");
        has_ended(&mut pair.endpoint).await;
        pair.endpoint_says(HELLO).await;
        assert_eq!(take(&mut pair.client, HELLO.len()).await, HELLO);
        assert_eq!(pair.gateway.serving.in_flight(), 1);
        pair.endpoint.shutdown().await.expect("ended");
        has_ended(&mut pair.client).await;
        until("it is over", || pair.gateway.serving.in_flight() == 0).await;

        let mut pair = Pair::open(over_http2).await;
        pair.talk().await;
        pair.endpoint.shutdown().await.expect("ended");
        has_ended(&mut pair.client).await;
        pair.client_says(MASKED_HELLO).await;
        let heard = take(&mut pair.endpoint, MASKED_HELLO.len()).await;
        assert_eq!(heard, MASKED_HELLO);
        assert_eq!(pair.gateway.serving.in_flight(), 1);
        pair.client.shutdown().await.expect("ended");
        has_ended(&mut pair.endpoint).await;
        until("it is over", || pair.gateway.serving.in_flight() == 0).await;
    }
}
