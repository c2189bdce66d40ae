//! Bytes on a socket, for what a well-behaved client library would never send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes on a fresh connection and returns everything that comes back until the peer closes, or until
/// `patience` has passed without a byte.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8], patience: Duration) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("bytes are taken");
    read_all(&mut stream, patience).await
}

/// Reads until the peer closes, or until `patience` has passed without a byte.
pub(crate) async fn read_all(stream: &mut TcpStream, patience: Duration) -> String {
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    while let Ok(Ok(read)) = tokio::time::timeout(patience, stream.read(&mut piece)).await {
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&piece[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}
