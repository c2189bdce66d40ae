//! From the settings to a Nacos client.

use pailou_config::Settings;
use pailou_nacos::{AddressError, ClientOptions, Credentials};

/// What the client must be told.
///
/// # Errors
/// An address that the settings take and the client does not.
pub(crate) fn options(settings: &Settings) -> Result<ClientOptions, AddressError> {
    let nacos = &settings.nacos;
    let servers: Vec<_> = nacos.servers.iter().map(ToString::to_string).collect();
    let mut options = ClientOptions::new(&servers.join(","))?;
    options.grpc_port = nacos.grpc_port;
    options.namespace.clone_from(&nacos.namespace);
    options.credentials = nacos
        .credentials()
        .map(|(user, password)| Credentials::new(user, password.expose()));
    options.app_name.clone_from(&nacos.app_name);
    options.request_timeout = nacos.request_timeout;
    options.health_check_interval = nacos.health_check_interval;
    options.audit_interval = settings.discovery.audit_interval;
    Ok(options)
}
