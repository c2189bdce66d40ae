//! Endpoints that record what they get and answer by a script.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::client::{find, header};

/// What an endpoint does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    /// Closes in order.
    Close,
    /// Resets the connection.
    Reset,
}

/// A request as it arrived; the head in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Which connection of the endpoint it came on.
    pub(crate) connection: usize,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

/// `200` with this body.
pub(crate) fn ok(body: &str) -> Vec<Step> {
    vec![Step::Send(response("200 OK", "", body))]
}

pub(crate) fn response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

impl Upstream {
    /// Answers each request with what the script says.
    pub(crate) async fn start(
        script: impl Fn(&Received) -> Vec<Step> + Send + Sync + 'static,
    ) -> Upstream {
        let received = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(script);
        let record = received.clone();
        let (address, task) = listen(move |stream, connection| {
            serve(stream, connection, record.clone(), script.clone())
        })
        .await;
        Upstream {
            address,
            received,
            task,
        }
    }

    /// Hands each connection to `serve`.
    pub(crate) async fn raw<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Upstream
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (address, task) = listen(move |stream, _| serve(stream)).await;
        Upstream {
            address,
            received: Arc::default(),
            task,
        }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no panic under it").clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    listener.local_addr().expect("address")
}

/// Reads a request head, in lower case.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    Some(read_head_as_sent(stream).await?.to_ascii_lowercase())
}

/// Reads a request head.
pub(crate) async fn read_head_as_sent(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).expect("ASCII"))
}

async fn listen<F>(
    serve: impl Fn(TcpStream, usize) -> F + Send + Sync + 'static,
) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let task = tokio::spawn(async move {
        let mut tasks = tokio::task::JoinSet::new();
        for connection in 0.. {
            let (stream, _) = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("no delay");
            tasks.spawn(serve(stream, connection));
        }
    });
    (address, task)
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    record: Arc<Mutex<Vec<Received>>>,
    script: Arc<impl Fn(&Received) -> Vec<Step>>,
) {
    while let Some(received) = read(&mut stream, connection).await {
        record
            .lock()
            .expect("no panic under it")
            .push(received.clone());
        for step in script(&received) {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::Wait(time) => tokio::time::sleep(time).await,
                Step::Close => return,
                Step::Reset => {
                    stream.set_zero_linger().expect("linger");
                    return;
                }
            }
        }
    }
}

/// Reads a request; `None` when the connection ends first.
async fn read(stream: &mut TcpStream, connection: usize) -> Option<Received> {
    let head = read_head(stream).await?;
    let mut body = Vec::new();
    if header(&head, "transfer-encoding") == Some("chunked") {
        let mut raw = Vec::new();
        loop {
            raw.push(stream.read_u8().await.ok()?);
            let Some(end) = find(&raw, b"\r\n") else {
                continue;
            };
            let size = std::str::from_utf8(&raw[..end]).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).await.ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
            raw.clear();
        }
    } else if let Some(length) = header(&head, "content-length") {
        body = vec![0; length.parse().ok()?];
        stream.read_exact(&mut body).await.ok()?;
    }
    Some(Received {
        head,
        body,
        connection,
    })
}
