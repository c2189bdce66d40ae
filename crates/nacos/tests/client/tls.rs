//! TLS to the servers, over TCP with real certificates.

pub(crate) mod front;

use std::{fs, net::SocketAddr, path::PathBuf};

use bytes::Bytes;
use pailou_nacos::{
    Client, ClientOptions, Credentials, Instance, LoginState, ProbeError, ServerAddress,
    TlsIdentity, TlsOptions, Transport, http_request, probe,
};
use pailou_nacos_lite::{Options, Registry};
use tempfile::TempDir;

use self::front::{Authority, Front, Identity};
use crate::tcp::{options, quick, registry as start, until, until_true};

/// The name that the test's servers have certificates for; they are reached by their address.
const NAME: &str = "nacos.test";

/// A Nacos whose two ports are reached over TLS.
struct World {
    folder: TempDir,
    registry: Registry,
    authority: Authority,
    /// Whose certificates clients may have to show.
    clients: Authority,
    http: Front,
    grpc: Front,
}

impl World {
    async fn with(options: Options) -> World {
        World::that(options, false).await
    }

    async fn that(options: Options, asks_clients: bool) -> World {
        let folder = TempDir::new().unwrap();
        let authority = Authority::new(folder.path(), "ca");
        let clients = Authority::new(folder.path(), "clients");
        let registry = start(options).await;
        let identity = authority.identity(NAME);
        let asked = asks_clients.then_some(&clients);
        let (http, grpc) = (registry.http_addr(), registry.grpc_addr());
        World {
            http: Front::start(http, &identity, asked).await,
            grpc: Front::start(grpc, &identity, asked).await,
            folder,
            registry,
            authority,
            clients,
        }
    }

    /// A client's options for it.
    fn options(&self) -> ClientOptions {
        ClientOptions {
            tls: TlsOptions {
                ca_file: Some(self.authority.ca_file()),
                identity: None,
                server_name: Some(NAME.into()),
            },
            grpc_port: Some(self.grpc.address.port()),
            servers: vec![https(self.http.address)],
            ..options(&[&self.registry])
        }
    }
}

fn https(address: SocketAddr) -> ServerAddress {
    format!("https://{address}").parse().unwrap()
}

fn identity(identity: Identity) -> Option<TlsIdentity> {
    let Identity {
        cert_file,
        key_file,
    } = identity;
    Some(TlsIdentity {
        cert_file,
        key_file,
    })
}

async fn lives(world: &World, options: ClientOptions, transport: Transport) {
    let client = Client::connect(options);
    let mut orders = client.watch_service("orders");
    let _registration = client
        .register("orders", Instance::new("10.0.0.9", 80))
        .await
        .unwrap();
    until(&mut orders, &["10.0.0.9"]).await;
    assert_eq!(client.states().borrow().transport, Some(transport));
    world.registry.publish_config("routes", "a: 1");
    let routes = client.config("routes").await.unwrap();
    assert_eq!(routes.unwrap().content, "a: 1");
    client.close().await;
}

#[tokio::test]
async fn a_client_lives_over_tls_on_both_ports() {
    let auth = Some(("nacos".to_owned(), "hunter2".to_owned()));
    let world = World::with(Options { auth, ..quick() }).await;
    let options = ClientOptions {
        credentials: Some(Credentials::new("nacos", "hunter2")),
        ..world.options()
    };
    lives(&world, options.clone(), Transport::Grpc).await;
    let client = Client::connect(options);
    until_true("logged in", || {
        matches!(client.state().login, LoginState::LoggedIn { .. })
    })
    .await;
}

#[tokio::test]
async fn a_client_lives_over_https_where_there_is_no_grpc() {
    let block_grpc = true;
    let world = World::with(Options {
        block_grpc,
        ..quick()
    })
    .await;
    lives(&world, world.options(), Transport::HttpV1).await;
}

#[tokio::test]
async fn grpc_and_http_are_each_encrypted_or_not() {
    let world = World::with(quick()).await;
    // Nacos's own switch: gRPC over TLS, HTTP plain.
    let mut options = ClientOptions {
        servers: vec![world.registry.http_addr().to_string().parse().unwrap()],
        grpc_tls: Some(true),
        ..world.options()
    };
    lives(&world, options.clone(), Transport::Grpc).await;
    // A proxy before HTTP alone.
    options.servers = vec![https(world.http.address)];
    options.grpc_port = Some(world.registry.grpc_addr().port());
    options.grpc_tls = Some(false);
    lives(&world, options, Transport::Grpc).await;
}

#[tokio::test]
async fn encrypted_grpc_is_not_replaced_by_plain_http() {
    let world = World::with(quick()).await;
    let stranger = Authority::new(world.folder.path(), "stranger");
    let mut options = world.options();
    options.tls.ca_file = Some(stranger.ca_file());
    options.servers = vec![world.registry.http_addr().to_string().parse().unwrap()];
    options.grpc_tls = Some(true);
    let client = Client::connect(options);
    // Plain gRPC would have given way to HTTP with the second.
    until_true("tried", || client.state().counts.failed_connections >= 4).await;
    assert_eq!(client.state().counts.connections, 0);
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_it_is_asked_for() {
    let world = World::that(quick(), true).await;
    let stranger = Authority::new(world.folder.path(), "stranger");
    let mut options = world.options();
    refused(&options, "asks for a client certificate, and none is set").await;
    options.tls.identity = identity(stranger.identity("pailou"));
    let expected = "does not accept the client certificate ";
    refused(&options, expected).await;
    refused(&options, "stranger-pailou.crt").await;
    options.tls.identity = identity(world.clients.identity("pailou"));
    lives(&world, options, Transport::Grpc).await;
}

/// Neither half is reached, and both say why.
async fn refused(options: &ClientOptions, expected: &str) {
    let server = &options.servers[0];
    let probed = probe(options, server).await.unwrap_err().to_string();
    assert!(probed.contains(expected), "{probed}");
    let request = http::Request::get("/nacos/").body(Bytes::new()).unwrap();
    let asked = http_request(options, server, request).await.unwrap_err();
    assert!(asked.to_string().contains(expected), "{asked}");
    shown(options, expected).await;
}

/// A client's state says why there is no connection.
async fn shown(options: &ClientOptions, expected: &str) {
    let client = Client::connect(options.clone());
    let mut states = client.states();
    let told = states.wait_for(|state| state.last_error.is_some()).await;
    let error = told.unwrap().last_error.clone().unwrap();
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn a_certificate_that_is_not_to_be_believed_is_not_and_the_reason_is_said() {
    let world = World::with(quick()).await;
    let stranger = Authority::new(world.folder.path(), "stranger");
    let mut options = world.options();
    options.tls.ca_file = Some(stranger.ca_file());
    refused(&options, "of an authority that is not in ").await;
    refused(&options, "stranger.pem").await;

    options.tls.ca_file = None;
    refused(&options, "the system").await;

    options = world.options();
    options.tls.server_name = None;
    let expected = "is for nacos.test and not for 127.0.0.1: set the server name";
    refused(&options, expected).await;

    let expired = world.authority.expired_identity(NAME);
    let http = Front::start(world.registry.http_addr(), &expired, None).await;
    let grpc = Front::start(world.registry.grpc_addr(), &expired, None).await;
    let options = ClientOptions {
        servers: vec![https(http.address)],
        grpc_port: Some(grpc.address.port()),
        ..world.options()
    };
    refused(&options, "the server's certificate expired ").await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let world = World::with(quick()).await;
    let folder = world.folder.path();
    let (one, two) = (
        world.authority.identity("one"),
        world.authority.identity("two"),
    );
    let prose = folder.join("prose.pem");
    fs::write(&prose, "no PEM").unwrap();
    let none = folder.join("none.pem");
    let with_ca = |file: &PathBuf| TlsOptions {
        ca_file: Some(file.clone()),
        ..world.options().tls
    };
    let with_identity = |cert: &PathBuf, key: &PathBuf| TlsOptions {
        identity: Some(TlsIdentity {
            cert_file: cert.clone(),
            key_file: key.clone(),
        }),
        ..world.options().tls
    };
    for (tls, expected) in [
        (with_ca(&none), "none.pem: cannot be read"),
        (
            with_ca(&prose),
            "prose.pem: there is no PEM certificate in it",
        ),
        (
            with_identity(&one.cert_file, &two.key_file),
            "ca-one.crt does not go with ",
        ),
        (
            with_identity(&one.cert_file, &one.cert_file),
            "ca-one.crt: there is no PEM private key",
        ),
    ] {
        let options = ClientOptions {
            tls,
            ..world.options()
        };
        refused(&options, expected).await;
    }
}

#[tokio::test]
async fn a_renewed_file_needs_no_new_client() {
    let world = World::with(quick()).await;
    let stranger = Authority::new(world.folder.path(), "stranger");
    let file = world.folder.path().join("mounted.pem");
    fs::copy(stranger.ca_file(), &file).unwrap();
    let mut options = world.options();
    options.tls.ca_file = Some(file.clone());
    let client = Client::connect(options);
    until_true("refused", || client.state().counts.failed_connections > 0).await;
    fs::copy(world.authority.ca_file(), &file).unwrap();
    until_true("connected", || client.states().borrow().connected).await;
}

#[tokio::test]
async fn tls_where_there_is_none_and_none_where_there_is_are_told_apart() {
    let world = World::with(quick()).await;
    // TLS is spoken to plain ports.
    let mut options = ClientOptions {
        servers: vec![https(world.registry.http_addr())],
        grpc_port: Some(world.registry.grpc_addr().port()),
        ..world.options()
    };
    let server = options.servers[0].clone();
    let probed = probe(&options, &server).await.unwrap_err();
    let expected = "does not speak TLS on this port";
    assert!(
        matches!(&probed, ProbeError::Tls(text) if text.contains(expected)),
        "{probed}"
    );
    // And none to ports for TLS.
    options.servers = vec![world.http.address.to_string().parse().unwrap()];
    options.grpc_port = Some(world.grpc.address.port());
    let server = &options.servers[0];
    let probed = probe(&options, server).await.unwrap_err();
    assert_eq!(probed, ProbeError::WantsTls);
    let request = http::Request::get("/nacos/").body(Bytes::new()).unwrap();
    let asked = http_request(&options, server, request).await.unwrap_err();
    let expected = "the server speaks TLS on this port";
    assert!(asked.to_string().contains(expected), "{asked}");
    shown(&options, expected).await;
}
