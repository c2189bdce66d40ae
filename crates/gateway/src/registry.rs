//! `pailou registry`: the embedded registry alone.

use std::net::SocketAddr;

use pailou_nacos_lite::{Options, Registry};

use crate::cli::RegistryArgs;
use crate::signals;

/// Runs the registry until SIGTERM or SIGINT.
pub(crate) async fn run(args: &RegistryArgs) -> anyhow::Result<()> {
    let options = Options {
        http: SocketAddr::new(args.address, args.port),
        grpc: args
            .grpc_port
            .map(|port| SocketAddr::new(args.address, port)),
        auth: args.auth.then(|| ("nacos".to_owned(), "nacos".to_owned())),
        ..Options::default()
    };
    let registry = Registry::start(options).await?;
    println!(
        "Nacos registry on http://{}/nacos, gRPC on {}",
        registry.http_addr(),
        registry.grpc_addr()
    );
    println!(
        "For development only: it keeps nothing. What is registered or published is gone when it stops."
    );
    if args.auth {
        println!("Login is asked for: user nacos, password nacos.");
    }
    signals::stop().await;
    registry.stop().await;
    Ok(())
}
