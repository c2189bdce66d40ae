//! Odd framings of an endpoint's answer: what goes out is framed by the gateway,
//! once, and what cannot be understood is never passed on as whole.

use crate::gateway::{ANY, Gateway};
use crate::upstream::{Step, Upstream};

async fn answer(bytes: &'static [u8], request: &str) -> String {
    let upstream = Upstream::start(move |_| vec![Step::Send(bytes.to_vec()), Step::Close]).await;
    let gateway = Gateway::start(ANY, &[upstream.address]).await;
    let mut client = gateway.connect().await;
    client.send(request).await;
    String::from_utf8(client.rest().await).expect("ASCII")
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// An empty size line ended the body in peace.
#[tokio::test]
async fn a_malformed_chunk_cuts_the_answer() {
    for chunks in [
        &b"4\r\nhalf\r\n\r\n"[..],
        b"4\r\nhalf\r\n\r\n\r\n",
        b"4\r\nhalf\r\nxyz\r\n\r\n",
        b"4\r\nhalfxx\r\n0\r\n\r\n",
        b"4\r\nhalf\r\n-1\r\n\r\n",
        b"4\r\nhalf\r\n+0\r\n\r\n",
        b"4\r\nhalf\r\n0x0\r\n\r\n",
        b"4\r\nhalf\r\nfffffffffffffffff\r\n",
        b"4\r\nhalf\r\n0\r\n",
        b"4\r\nhalf\r\n0",
        b"4\r\nhalf\r\n",
        b"4\r\nhal",
        b"4",
    ] {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let bytes: &'static [u8] = [&head[..], chunks].concat().leak();
        let what = chunks.escape_ascii().to_string();
        let got = answer(bytes, GET).await;
        assert!(got.starts_with("HTTP/1.1 "), "{what}: {got}");
        if got.starts_with("HTTP/1.1 200") {
            assert!(
                !got.ends_with("0\r\n\r\n"),
                "{what}: taken for whole: {got}"
            );
        }
    }
}

#[tokio::test]
async fn framing_fields_of_answers_are_the_gateways() {
    for (bytes, status) in [
        (
            &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok"[..],
            200,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
            502,
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nok!", 502),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok", 502),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", 204),
        (
            b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
            204,
        ),
        (
            b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
            304,
        ),
        (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", 200),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 200),
        (b"HTTP/1.0 200 OK\r\n\r\nok", 200),
        (b"nonsense\r\n\r\n", 502),
        (b"HTTP/2.0 200 OK\r\n\r\nok", 502),
        (b"HTTP/1.1 99 Odd\r\n\r\n", 502),
    ] {
        let what = bytes.escape_ascii().to_string();
        let got = answer(bytes, GET).await;
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {got}"
        );
        let head = got.split("\r\n\r\n").next().unwrap_or_default();
        let head = head.to_ascii_lowercase();
        let lengths = head.matches("\r\ncontent-length:").count();
        let codings = head.matches("\r\ntransfer-encoding:").count();
        assert!(lengths + codings <= 1, "{what}: {got}");
        if status == 204 {
            assert_eq!((lengths, codings), (0, 0), "{what}: {got}");
        }
        if status == 200 {
            assert!(got.contains("ok"), "{what}: {got}");
        }
    }
}
