//! `pailou health`: is the gateway at an address ready?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::cli::HealthArgs;
use crate::{nacos, say};

/// A probe that takes longer than this counts as not ready.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the probes are: as given, or as the settings say. A gateway that listens everywhere is asked on loopback.
fn address(args: &HealthArgs) -> anyhow::Result<String> {
    if let Some(address) = &args.address {
        return Ok(address.clone());
    }
    let settings = nacos::settings(args.config.as_deref())?;
    let Some(mut address) = settings.probes.address else {
        bail!("probes.address is off in the settings, so that there is nobody to ask");
    };
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    if address.port() == 0 {
        bail!("probes.address has port 0, which is another one at each start; give --address");
    }
    Ok(address.to_string())
}

/// Asks `/readyz` and prints the answer.
pub(crate) async fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let url = format!("http://{}/readyz", address(args)?);
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let response = client
        .get(&url)
        .send()
        .await
        .with_context(|| format!("no answer from {url}"))?;
    let status = response.status();
    let said = response
        .text()
        .await
        .with_context(|| format!("the answer of {url} broke off"))?;
    if !status.is_success() {
        bail!("not ready: {said}");
    }
    Ok(say::out(&format!("{said}\n"))?)
}
