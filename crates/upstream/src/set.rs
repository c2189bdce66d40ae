//! What discovery says of a service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::transport::Transport;

/// Everything that is known of a service's endpoints at one moment: an update replaces the whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointSet {
    /// The endpoints. An address may be listed several times, such as in two clusters or as two versions: each selection uses the
    /// heaviest listing that it wants and that may have traffic, and counts the address once.
    pub endpoints: Vec<EndpointSpec>,
    /// False when the health marks mean nothing now, since Nacos would mark too many endpoints as unhealthy. `healthy` is then
    /// ignored, and ejection alone decides.
    pub health_is_known: bool,
    /// Whether this comes from a snapshot and not live.
    pub stale: bool,
}

impl EndpointSet {
    /// A live set of these endpoints, with health marks that count.
    pub fn of(endpoints: impl IntoIterator<Item = EndpointSpec>) -> EndpointSet {
        EndpointSet {
            endpoints: endpoints.into_iter().collect(),
            health_is_known: true,
            stale: false,
        }
    }
}

/// One endpoint, as discovery describes it: one listing of its address.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSpec {
    /// Its address, which identifies it within its service.
    pub address: SocketAddr,
    /// Its share of the traffic against the others'; 0 means none. Not a number, infinite or negative is refused and reported.
    pub weight: f64,
    /// False when an operator took it out.
    pub enabled: bool,
    /// Whether Nacos marks it as healthy.
    pub healthy: bool,
    /// The cluster it is in.
    pub cluster: Arc<str>,
    /// How it is spoken to.
    pub transport: Transport,
    /// The port where it speaks HTTP/2, if that is another one. Its state is one, whichever port is spoken to.
    pub grpc_port: Option<u16>,
    /// The host name that it registered, if it did. Its certificate is for that name.
    pub host: Option<Arc<str>>,
    /// Its labels.
    pub metadata: Arc<BTreeMap<String, String>>,
    /// Whether it is kept although discovery no longer lists it: all listings of an address, or none.
    pub held: bool,
    /// Changes when the address was registered afresh, which means another process. It is the same for all listings of an
    /// address.
    pub registration: u64,
}

impl EndpointSpec {
    /// An enabled, healthy endpoint of weight 1 without labels.
    pub fn new(address: SocketAddr) -> EndpointSpec {
        EndpointSpec {
            address,
            weight: 1.0,
            enabled: true,
            healthy: true,
            cluster: Arc::from(""),
            transport: Transport::default(),
            grpc_port: None,
            host: None,
            metadata: Arc::default(),
            held: false,
            registration: 0,
        }
    }
}
