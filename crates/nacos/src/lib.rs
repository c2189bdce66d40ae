//! A Nacos client over one gRPC connection per namespace: naming, config and login.

mod client;
mod core;
mod desired;
mod error;
mod link;
mod login;
mod model;
mod network;
mod options;
mod registration;
mod session;
mod state;
mod watch;
pub mod wire;

pub use client::Client;
pub use error::Error;
pub use model::{
    Config, ConfigName, ConfigState, DEFAULT_CLUSTER, DEFAULT_GROUP, Instance, Origin, Publish,
    ServiceName, ServiceState,
};
pub use network::{ByteStream, Connecting, Connector, Tcp};
pub use options::{AddressError, ClientOptions, Credentials, ServerAddress};
pub use registration::Registration;
pub use state::{
    ConfigSync, ConnectionState, Counts, LoginState, RegistrationSync, ServiceSync, SessionState,
};
pub use watch::{ConfigWatch, ServiceWatch};
