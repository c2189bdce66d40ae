//! TLS on clients' connections.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::count_with;
use crate::metrics::State;

pub(super) fn export(out: &mut DescriptorEncoder<'_>, state: &State) -> fmt::Result {
    let help = "TLS handshakes with clients, by version and by whether a session was resumed";
    let mut metric =
        out.encode_descriptor("pailou_tls_handshakes", help, None, MetricType::Counter)?;
    for (version, resumed, value) in state.totals.tls_handshakes.counts() {
        let labels = [("version", version), ("resumed", resumed)];
        count_with(&mut metric, &labels, value)?;
    }
    let certificates = state.certificates();
    let help = "When a certificate in use ends, in seconds since 1970";
    let name = "pailou_certificate_expiry_timestamp_seconds";
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (file, certificate) in &certificates {
        let labels = [("certificate", &**file)];
        metric
            .encode_family(&labels)?
            .encode_gauge(&certificate.ends)?;
    }
    let help = "1 while the files of a certificate have changed into what cannot be used";
    let name = "pailou_certificate_refused";
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (file, certificate) in &certificates {
        let labels = [("certificate", &**file)];
        metric
            .encode_family(&labels)?
            .encode_gauge(&i64::from(certificate.is_refused))?;
    }
    Ok(())
}
