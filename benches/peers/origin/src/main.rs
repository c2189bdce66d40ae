//! The origin behind every proxy of `make bench-load`: it answers with as many bytes as the last segment of the path says.
//!
//! ```text
//! bench-origin [PORT]        prints `listening 127.0.0.1:PORT`; GET /any/100 is answered with 100 bytes
//! ```
//!
//! A body of a request is read and dropped, so that uploads can be measured. It is no HTTP server: it takes what a proxy
//! sends, one request at a time on each connection, and costs little, since it shares a core with the load generator.

use std::io::{self, Write as _};
use std::str;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// No proxy of the bench sends a longer head.
const HEAD_BYTES: usize = 16 * 1024;
/// No answer is longer: all are slices of one filler.
const BODY_BYTES: usize = 16 * 1024 * 1024;

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".to_owned());
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening {}", listener.local_addr()?);
    io::stdout().flush()?;
    let filler: Arc<[u8]> = vec![b'x'; BODY_BYTES].into();
    loop {
        let (stream, _) = listener.accept().await?;
        let filler = filler.clone();
        // A proxy that closes a connection ends it; there is nobody to tell.
        tokio::spawn(async move { serve(stream, &filler).await.ok() });
    }
}

async fn serve(mut stream: TcpStream, filler: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut answer = Vec::with_capacity(1024);
    let mut held = 0;
    while let Some(end) = read_head(&mut stream, &mut buffer, &mut held).await? {
        let head = Head::parse(&buffer[..end]);
        drain(&mut stream, &mut buffer, head.body_bytes, held - end).await?;
        held = 0;
        let body = &filler[..head.answer_bytes.min(BODY_BYTES)];
        answer.clear();
        write!(
            answer,
            "HTTP/1.1 {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            head.status,
            body.len()
        )?;
        if body.len() <= 16 * 1024 {
            answer.extend_from_slice(body);
            stream.write_all(&answer).await?;
        } else {
            stream.write_all(&answer).await?;
            stream.write_all(body).await?;
        }
        if head.closes {
            break;
        }
    }
    Ok(())
}

/// Where the head ends, once it is there; `None` when the connection ended.
async fn read_head(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    held: &mut usize,
) -> io::Result<Option<usize>> {
    loop {
        let read = stream.read(&mut buffer[*held..HEAD_BYTES]).await?;
        if read == 0 {
            return Ok(None);
        }
        // The end may have begun in what was read before.
        let from = held.saturating_sub(3);
        *held += read;
        let found = buffer[from..*held]
            .windows(4)
            .position(|four| four == b"\r\n\r\n");
        if let Some(at) = found {
            return Ok(Some(from + at + 4));
        }
    }
}

/// Reads the rest of a body, of which `here` bytes have come with the head.
async fn drain(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    body_bytes: usize,
    here: usize,
) -> io::Result<()> {
    let mut missing = body_bytes.saturating_sub(here);
    while missing > 0 {
        match stream.read(buffer).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => missing = missing.saturating_sub(read),
        }
    }
    Ok(())
}

/// What the origin has to know of a request.
struct Head {
    status: &'static str,
    answer_bytes: usize,
    body_bytes: usize,
    closes: bool,
}

impl Head {
    fn parse(head: &[u8]) -> Self {
        let text = str::from_utf8(head).unwrap_or("");
        let mut lines = text.split("\r\n");
        let path = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .unwrap_or("");
        let size = path.rsplit('/').next().and_then(|last| last.parse().ok());
        let mut parsed = Self {
            status: if size.is_some() {
                "200 OK"
            } else {
                "404 Not Found"
            },
            answer_bytes: size.unwrap_or(0),
            body_bytes: 0,
            closes: false,
        };
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                parsed.body_bytes = value.parse().unwrap_or(0);
            } else if name.eq_ignore_ascii_case("connection") {
                parsed.closes = value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                // The generator sends lengths; a proxy that makes chunks of them would be measured at something else.
                parsed.status = "411 Length Required";
                parsed.closes = true;
            }
        }
        parsed
    }
}
