//! The least that pingora's own proxy does: one fixed peer, no module, no time limit, no phase filled in.
//!
//! ```text
//! bench-pingora ORIGIN WORKERS PORT        such as 127.0.0.1:9100 1 8080
//! ```

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp as _;
use pingora::modules::http::HttpModules;
use pingora::prelude::{HttpPeer, ProxyHttp, Session, http_proxy};
use pingora::protocols::Stream;
use pingora::server::configuration::ServerConf;
use tokio::net::TcpListener;

struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();
    fn new_ctx(&self) {}
    fn init_downstream_modules(&self, _: &mut HttpModules) {}
    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let origin = arguments.next().and_then(|text| text.parse().ok());
    let workers = arguments.next().and_then(|text| text.parse().ok());
    let port = arguments.next().and_then(|text| text.parse().ok());
    let (Some(origin), Some(workers), Some(port)) = (origin, workers, port) else {
        eprintln!("usage: bench-pingora ORIGIN WORKERS PORT, such as 127.0.0.1:9100 1 8080");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("a runtime");
    // On a worker, where the connections' tasks are too.
    let server = runtime.spawn(serve(origin, port));
    runtime.block_on(server).expect("the accept loop");
    ExitCode::SUCCESS
}

async fn serve(origin: SocketAddr, port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("a free port");
    // pingora's own 128 would make it connect anew all the time with 256 clients.
    let conf = ServerConf {
        upstream_keepalive_pool_size: 4096,
        ..ServerConf::default()
    };
    let app = Arc::new(http_proxy(&Arc::new(conf), Bare(origin)));
    let (_keep, shutdown) = tokio::sync::watch::channel(false);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).ok();
        let (app, shutdown) = (app.clone(), shutdown.clone());
        tokio::spawn(async move {
            let stream: pingora::protocols::l4::stream::Stream = stream.into();
            let mut next: Option<Stream> = Some(Box::new(stream));
            while let Some(stream) = next {
                next = app.process_new(stream, &shutdown).await;
            }
        });
    }
}
