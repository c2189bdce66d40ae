//! What a failure of TLS means to whoever has to mend it.

use std::io;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error};

use crate::wire::tls_error;

/// Why there was no handshake with an endpoint, and what helps. `section` is where the TLS settings stand.
pub(crate) fn explain(error: &io::Error, section: &str, name: &ServerName<'_>) -> String {
    match tls_error(error) {
        Some(Error::InvalidMessage(_)) => {
            "the endpoint does not speak TLS on this port: let its metadata or the route say `protocol: http`".to_owned()
        }
        Some(Error::InvalidCertificate(error)) => of_certificate(error, section, name),
        Some(Error::AlertReceived(alert)) => of_alert(*alert, section),
        Some(error) => error.to_string(),
        None => format!("the endpoint ended the handshake: {error}"),
    }
}

fn of_certificate(error: &CertificateError, section: &str, name: &ServerName<'_>) -> String {
    match error {
        CertificateError::UnknownIssuer => format!(
            "the endpoint's certificate is of an unknown authority: put the certificate of that authority into {section}.ca_file"
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let name = name.to_str();
            format!(
                "the endpoint's certificate is not for {name}: set {section}.server_name to a name that it is for"
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the endpoint's certificate has expired: renew it".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the endpoint's certificate is not valid yet: correct this machine's clock".to_owned()
        }
        other => format!("the endpoint's certificate is not accepted: {other}"),
    }
}

fn of_alert(alert: AlertDescription, section: &str) -> String {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired | Alert::HandshakeFailure => format!(
            "the endpoint may ask for a certificate of the gateway ({alert:?}): set {section}.cert_file and {section}.key_file"
        ),
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::DecryptError => format!(
            "the endpoint does not accept the gateway's certificate ({alert:?}): set another one in {section}.cert_file"
        ),
        alert => format!("the endpoint refused TLS ({alert:?})"),
    }
}

#[cfg(test)]
mod tests {
    use rustls::InvalidMessage;

    use super::*;

    #[test]
    fn each_failure_says_what_helps() {
        let name = ServerName::try_from("a.internal").expect("a name");
        let cases = [
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "protocol: http",
            ),
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "into upstream_tls.ca_file",
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidForName),
                "not for a.internal: set upstream_tls.server_name",
            ),
            (
                Error::InvalidCertificate(CertificateError::Expired),
                "has expired: renew it",
            ),
            (
                Error::AlertReceived(AlertDescription::CertificateRequired),
                "set upstream_tls.cert_file and upstream_tls.key_file",
            ),
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                "set another one in upstream_tls.cert_file",
            ),
        ];
        for (error, expected) in cases {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            let said = explain(&error, "upstream_tls", &name);
            assert!(said.contains(expected), "{said}");
        }
        let said = explain(&io::ErrorKind::UnexpectedEof.into(), "upstream_tls", &name);
        assert!(said.contains("ended the handshake"), "{said}");
    }
}
