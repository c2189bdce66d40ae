//! From the instances that Nacos lists to endpoints: admitted and resolved.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use pailou_config::is_host_name;
use pailou_nacos::Instance;
use pailou_upstream::EndpointSpec;

use crate::admission::Admission;
use crate::resolve::{Names, Resolved};
use crate::transport::{grpc_port_of, transport_of};
use crate::view::RefusedView;

/// The reason of an instance that is out for a moment, until its host name is resolved. It is not reported.
pub(crate) const PENDING: &str = "host name is being resolved";

/// The host names among the instances' addresses.
pub(crate) fn host_names(instances: &[Instance]) -> BTreeSet<&str> {
    instances
        .iter()
        .map(|instance| instance.ip.as_str())
        .filter(|host| address_of(host).is_none() && is_host_name(host))
        .collect()
}

/// The endpoints, and the refused instances with the reason. An address may be listed several times (two versions, two
/// clusters, a leftover of an earlier registration). The balancer decides which listing counts.
pub(crate) fn endpoints(
    instances: &[Instance],
    names: &Names,
    admission: &Admission,
) -> (Vec<EndpointSpec>, Vec<RefusedView>) {
    let mut collected = Collected {
        admission,
        endpoints: Vec::with_capacity(instances.len()),
        refused: Vec::new(),
    };
    for instance in instances {
        if let Some(ip) = address_of(&instance.ip) {
            collected.add(instance, ip, 1, None);
        } else if is_host_name(&instance.ip) {
            match names.resolved(&instance.ip) {
                Resolved::Addresses(ips) => {
                    let host: Arc<str> = instance.ip.as_str().into();
                    for ip in ips {
                        collected.add(instance, *ip, ips.len(), Some(&host));
                    }
                }
                Resolved::Pending => collected.refuse(instance, PENDING, None),
                Resolved::Failed(error) => {
                    collected.refuse(instance, "host name not resolved", Some(error));
                }
            }
        } else {
            collected.refuse(instance, "neither an address nor a host name", None);
        }
    }
    collected.refused.sort_unstable();
    (collected.endpoints, collected.refused)
}

struct Collected<'a> {
    admission: &'a Admission,
    endpoints: Vec<EndpointSpec>,
    refused: Vec<RefusedView>,
}

impl Collected<'_> {
    /// Adds one of the `shares` addresses of an instance, of its host name if it has one.
    fn add(&mut self, instance: &Instance, ip: IpAddr, shares: usize, host: Option<&Arc<str>>) {
        let address = match self.admission.admit(SocketAddr::new(ip, instance.port)) {
            Ok(address) => address,
            Err(denied) => return self.refuse(instance, denied.reason(), None),
        };
        self.endpoints.push(EndpointSpec {
            address,
            // The addresses of a name share the weight of their instance.
            weight: instance.weight / shares as f64,
            enabled: instance.enabled,
            healthy: instance.healthy,
            cluster: instance.cluster.as_str().into(),
            transport: transport_of(&instance.metadata),
            grpc_port: self
                .admission
                .admit_port(address, grpc_port_of(&instance.metadata)),
            host: host.cloned(),
            metadata: Arc::new(instance.metadata.clone()),
            held: false,
            registration: 0,
        });
    }

    fn refuse(&mut self, instance: &Instance, reason: &'static str, detail: Option<&str>) {
        let host = &instance.ip;
        let address = if host.contains(':') {
            format!("[{host}]:{}", instance.port)
        } else {
            format!("{host}:{}", instance.port)
        };
        self.refused.push(RefusedView {
            address,
            reason,
            detail: detail.map(str::to_owned),
        });
    }
}

/// The address that a registered host is, also in brackets as some clients write IPv6.
fn address_of(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}
