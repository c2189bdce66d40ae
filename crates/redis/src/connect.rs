//! How a connection comes about: to a server, to the master that Sentinels name, or to a cluster.

use std::io;
use std::path::Path;

use pailou_config::{RedisAddress, RedisMode, RedisSettings};
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    FromRedisValue, IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult,
    TlsCertificates, TlsMode, cmd,
};

/// A connection that any number of requests share.
#[derive(Clone)]
pub(crate) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Opens one. It has no deadline of its own beyond that of each step.
    ///
    /// # Errors
    /// Nobody could be reached, or nobody lets us in.
    pub(crate) async fn open(settings: &RedisSettings) -> RedisResult<Connection> {
        let account = account(settings);
        match settings.mode {
            RedisMode::Single => {
                let connection = first(settings, &account).await?;
                Ok(Connection::One(connection))
            }
            RedisMode::Sentinel => {
                let master = master(settings, &account).await?;
                let connection = one(settings, &master, &account).await?;
                Ok(Connection::One(connection))
            }
            RedisMode::Cluster => cluster(settings, &account).await.map(Connection::Cluster),
        }
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask<T: FromRedisValue>(&self, asked: &Cmd) -> RedisResult<T> {
        match self.clone() {
            Connection::One(mut connection) => asked.query_async(&mut connection).await,
            Connection::Cluster(mut connection) => asked.query_async(&mut connection).await,
        }
    }
}

/// The first of the servers that takes us.
async fn first(
    settings: &RedisSettings,
    account: &RedisConnectionInfo,
) -> RedisResult<MultiplexedConnection> {
    let mut failed = nobody();
    for server in &settings.servers {
        match one(settings, server, account).await {
            Ok(connection) => return Ok(connection),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Where the first Sentinel that knows says that the master is.
async fn master(
    settings: &RedisSettings,
    account: &RedisConnectionInfo,
) -> RedisResult<RedisAddress> {
    let login = match settings.sentinel_login {
        true => account.clone().set_db(0),
        false => RedisConnectionInfo::default(),
    };
    let name = settings.master.as_deref().unwrap_or_default();
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let mut failed = nobody();
    for sentinel in &settings.servers {
        let answered = match one(settings, sentinel, &login).await {
            Ok(mut connection) => question.query_async(&mut connection).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(Some((host, port))) => return Ok(RedisAddress { host, port }),
            Ok(None) => {
                let unknown = "no Sentinel knows a master of this name";
                failed = (ErrorKind::MasterNameNotFoundBySentinel, unknown).into();
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn one(
    settings: &RedisSettings,
    server: &RedisAddress,
    account: &RedisConnectionInfo,
) -> RedisResult<MultiplexedConnection> {
    let place = place(settings, server, account)?;
    let client = match certificates(settings)? {
        Some(certificates) => Client::build_with_tls(place, certificates)?,
        None => Client::open(place)?,
    };
    let times = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.connect_timeout))
        .set_response_timeout(Some(settings.connect_timeout));
    client
        .get_multiplexed_async_connection_with_config(&times)
        .await
}

async fn cluster(
    settings: &RedisSettings,
    account: &RedisConnectionInfo,
) -> RedisResult<ClusterConnection> {
    let places: RedisResult<Vec<_>> = settings
        .servers
        .iter()
        .map(|server| place(settings, server, account))
        .collect();
    let mut cluster = ClusterClient::builder(places?)
        .connection_timeout(settings.connect_timeout)
        .response_timeout(settings.connect_timeout)
        // A request has no time for more than a redirection or two.
        .retries(2);
    if let Some(certificates) = certificates(settings)? {
        cluster = cluster.tls(TlsMode::Secure).certs(certificates);
    }
    cluster.build()?.get_async_connection().await
}

fn place(
    settings: &RedisSettings,
    server: &RedisAddress,
    account: &RedisConnectionInfo,
) -> RedisResult<ConnectionInfo> {
    let (host, port) = (server.host.clone(), server.port);
    let address = match settings.tls {
        false => ConnectionAddr::Tcp(host, port),
        true => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        },
    };
    let place = address.into_connection_info()?;
    Ok(place.set_redis_settings(account.clone()))
}

/// Who we are. The name of the library says nothing to anybody.
fn account(settings: &RedisSettings) -> RedisConnectionInfo {
    let mut account = RedisConnectionInfo::default()
        .set_db(i64::from(settings.database))
        .set_skip_set_lib_name();
    if let Some(username) = &settings.username {
        account = account.set_username(username);
    }
    if let Some(password) = &settings.password {
        account = account.set_password(password.expose());
    }
    account
}

/// The files of TLS, if it is spoken. They are short, and read for each new connection, never by a request.
fn certificates(settings: &RedisSettings) -> RedisResult<Option<TlsCertificates>> {
    if !settings.tls {
        return Ok(None);
    }
    let files = (&settings.tls_cert_file, &settings.tls_key_file);
    let client_tls = match files {
        (Some(cert), Some(key)) => Some(ClientTlsConfig {
            client_cert: read(cert)?,
            client_key: read(key)?,
        }),
        _ => None,
    };
    let root_cert = settings.tls_ca_file.as_deref().map(read).transpose()?;
    Ok(Some(TlsCertificates {
        client_tls,
        root_cert,
    }))
}

fn read(file: &Path) -> RedisResult<Vec<u8>> {
    let told = |error: io::Error| io::Error::other(format!("{}: {error}", file.display()));
    Ok(std::fs::read(file).map_err(told)?)
}

fn nobody() -> RedisError {
    (ErrorKind::InvalidClientConfig, "no server is named").into()
}
