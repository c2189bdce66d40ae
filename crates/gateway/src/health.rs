//! `pailou health`: is the gateway at an address ready?

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::cli::HealthArgs;
use crate::say;

/// A probe that takes longer than this is an answer too: no.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `/readyz` and prints the answer.
pub(crate) async fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let url = format!("http://{}/readyz", args.address);
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
