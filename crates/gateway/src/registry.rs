//! `pailou registry`: the embedded registry alone.

use std::net::SocketAddr;

use pailou_nacos_lite::{Options, Registry};

use crate::cli::RegistryArgs;
use crate::{say, signals};

/// Runs the registry until SIGTERM or SIGINT.
pub(crate) async fn run(args: &RegistryArgs) -> anyhow::Result<()> {
    let stop = signals::stop_or_hangup();
    let options = Options {
        http: SocketAddr::new(args.address, args.port),
        grpc: args
            .grpc_port
            .map(|port| SocketAddr::new(args.address, port)),
        auth: args.auth.then(|| ("nacos".to_owned(), "nacos".to_owned())),
        ..Options::default()
    };
    let registry = Registry::start(options).await?;
    let mut text = format!(
        "Nacos registry on http://{}/nacos, gRPC on {}\n\
         It keeps nothing and is not for production: what is registered or published is gone when it stops.\n",
        registry.http_addr(),
        registry.grpc_addr()
    );
    if args.auth {
        text.push_str("Login is asked for: user nacos, password nacos.\n");
    }
    say::out(&text)?;
    stop.await;
    registry.stop().await;
    Ok(())
}
