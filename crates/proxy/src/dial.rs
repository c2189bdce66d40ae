//! A line to an endpoint: an idle one, or a new one.

use std::convert::Infallible;
use std::time::Duration;

use pailou_upstream::Http;

use crate::line::{Connection, Line};
use crate::server::Server;
use crate::transport::{ConnectFailure, Remote};

impl Server {
    /// A line to the remote. A new connection is made within `timeout`.
    pub(crate) async fn line(
        &self,
        remote: Remote,
        timeout: Duration,
    ) -> Result<Line, ConnectFailure> {
        if remote.http == Http::Http2 {
            let stream = self.trunks.stream(remote, &self.transport, timeout);
            return Box::pin(stream).await.map(Line::Stream);
        }
        if let Some(connection) = self.pool.take(&remote).await {
            return Ok(Line::Connection(connection));
        }
        // In a box, as above: few requests need the state of connecting.
        Box::pin(self.open(remote, timeout)).await
    }

    async fn open(&self, remote: Remote, timeout: Duration) -> Result<Line, ConnectFailure> {
        let wire = self.transport.connect(&remote, timeout).await?;
        let connection = Connection::open(remote, wire, self.buffers, self.header_case).await;
        let connection = connection.map_err(|_| ConnectFailure::Ours)?;
        Ok(Line::Connection(connection))
    }

    /// Keeps a line for the next request.
    pub(crate) fn keep(&self, line: Line) {
        match line {
            Line::Connection(connection) => self.pool.put(connection),
            // The others that share the connection keep it.
            Line::Stream(_) => {}
        }
    }

    /// Closes connections to endpoints that nobody needs, once a second. Never
    /// ends.
    pub(crate) async fn sweep(&self) -> Infallible {
        const SWEEP: Duration = Duration::from_secs(1);
        loop {
            tokio::time::sleep(SWEEP).await;
            self.pool.sweep();
            self.trunks.sweep();
        }
    }
}
