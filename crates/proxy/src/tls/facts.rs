//! What stands in a certificate, as far as the gateway needs it.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::names::Names;

/// What stands in one certificate of a file.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) names: Names,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    /// In seconds since 1970.
    pub(super) ends: i64,
    pub(super) is_authority: bool,
    /// The two names as they are encoded, to be compared.
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    /// For people.
    pub(super) subject_text: String,
}

impl Facts {
    /// Reads them; `None` for what is no X.509 certificate.
    pub(super) fn of(der: &[u8]) -> Option<Facts> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let validity = certificate.validity();
        let ends = validity.not_after.timestamp();
        Some(Facts {
            names: names(&certificate),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(ends),
            ends,
            is_authority: certificate.is_ca(),
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            subject_text: certificate.subject().to_string(),
        })
    }
}

/// A moment by its seconds since 1970.
pub(super) fn time(seconds: i64) -> SystemTime {
    let from_epoch = Duration::from_secs(seconds.unsigned_abs());
    let moment = match seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(from_epoch),
        false => SystemTime::UNIX_EPOCH.checked_add(from_epoch),
    };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn names(certificate: &X509Certificate<'_>) -> Names {
    let mut names = Names::default();
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return names;
    };
    for name in &alternatives.value.general_names {
        match name {
            GeneralName::DNSName(name) => names.add(name),
            GeneralName::IPAddress(bytes) => {
                if let Some(address) = address(bytes) {
                    names.add_address(address);
                }
            }
            _ => {}
        }
    }
    names
}

/// An address as it is encoded in a certificate.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}
