//! Which gateways are registered, and what they say of their tables.

use pailou_nacos::ServiceName;

use super::Visit;
use super::findings::Findings;

/// Reads the gateways' own entries in Nacos.
pub(super) async fn check(visit: &Visit<'_>, findings: &mut Findings) {
    let own = &visit.nacos.settings.registration;
    let name = ServiceName::new(&own.group, &own.service);
    findings.progress("gateways");
    let state = match visit.client.query_service(&name).await {
        Ok(state) => state,
        Err(error) => return findings.unknown("gateway", &own.service, error.to_string()),
    };
    if state.instances.is_empty() {
        return findings.ok(
            "gateway",
            &own.service,
            "no gateway is registered at the moment",
        );
    }
    for instance in state.instances.iter() {
        let label = |key: &str| instance.metadata.get(key).map_or("-", String::as_str);
        let subject = format!("{}:{}", instance.ip, instance.port);
        let found = format!(
            "version {}, table revision {} with md5 {}",
            label("version"),
            label("revision"),
            label("md5")
        );
        match instance.metadata.get("error") {
            None => findings.ok("gateway", &subject, found),
            Some(error) => findings.warning(
                "gateway",
                &subject,
                format!("{found}; its error: {error}"),
                "Correct the document that the gateway refuses. Meanwhile it serves an older version.",
            ),
        }
    }
}
