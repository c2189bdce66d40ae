//! What an error of TLS means, in words that help to mend it.

use std::{fmt, io};

use rustls::{AlertDescription, CertificateError, Error};

use super::TlsOptions;

/// Why a stream could not be encrypted, and what helps.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("TLS: {0}")]
pub(crate) struct TlsError(pub(super) String);

/// Knows which files were used.
#[derive(Debug)]
pub(super) struct Judge {
    authorities: String,
    certificate: Option<String>,
}

impl Judge {
    pub(super) fn new(options: &TlsOptions) -> Self {
        let shown = |path: &std::path::Path| path.display().to_string();
        Self {
            authorities: (options.ca_file.as_deref())
                .map_or_else(|| "the system's CA certificates".to_owned(), shown),
            certificate: (options.identity.as_ref()).map(|identity| shown(&identity.cert_file)),
        }
    }

    /// Why there was no handshake.
    pub(super) fn handshake(&self, error: &io::Error) -> TlsError {
        TlsError(match cause(error) {
            Some(Error::InvalidMessage(_)) => {
                "the server does not speak TLS on this port: turn TLS off for it, or name the port that does".to_owned()
            }
            Some(error) => self.explain(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                "the server closed the connection during the handshake, as one that does not speak TLS on this port does"
                    .to_owned()
            }
            None => format!("the handshake failed: {error}"),
        })
    }

    /// Whether it takes a server that speaks TLS to fail in this way.
    pub(super) fn is_tls(&self, error: &io::Error) -> bool {
        cause(error).is_some_and(|error| !matches!(error, Error::InvalidMessage(_)))
    }

    /// Why a stream that was set up ended: in TLS 1.3 a server refuses a client only after its own handshake.
    pub(super) fn ended(&self, error: &io::Error) -> Option<TlsError> {
        cause(error).map(|error| TlsError(self.explain(error)))
    }

    /// Why a stream ended on which the server never said anything.
    pub(super) fn ended_unheard(&self) -> TlsError {
        TlsError(match &self.certificate {
            None => "the server ended the connection after the handshake: it may ask for a client certificate".to_owned(),
            Some(file) => format!(
                "the server ended the connection after the handshake: it may not accept the client certificate {file}"
            ),
        })
    }

    fn explain(&self, error: &Error) -> String {
        match error {
            Error::InvalidCertificate(error) => self.certificate(error),
            Error::AlertReceived(alert) => self.alert(*alert),
            other => other.to_string(),
        }
    }

    fn certificate(&self, error: &CertificateError) -> String {
        match error {
            CertificateError::UnknownIssuer => format!(
                "the server's certificate is of an authority that is not in {}: put the certificate of its authority there",
                self.authorities
            ),
            CertificateError::Expired => {
                "the server's certificate has expired: renew it".to_owned()
            }
            CertificateError::ExpiredContext { time, not_after } => format!(
                "the server's certificate expired {} ago: renew it, or correct this machine's clock",
                Age(time.as_secs().saturating_sub(not_after.as_secs()))
            ),
            CertificateError::NotValidYet => {
                "the server's certificate is not valid yet: correct this machine's clock".to_owned()
            }
            CertificateError::NotValidYetContext { time, not_before } => format!(
                "the server's certificate is valid only in {}: correct this machine's clock",
                Age(not_before.as_secs().saturating_sub(time.as_secs()))
            ),
            CertificateError::NotValidForName => {
                "the server's certificate is for another name: set the server name to that"
                    .to_owned()
            }
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => format!(
                "the server's certificate is for {} and not for {}: set the server name to one of its names, or give the \
                 server a certificate for this one",
                if presented.is_empty() {
                    "no name".to_owned()
                } else {
                    let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
                    names.join(", ")
                },
                expected.to_str()
            ),
            other => format!("the server's certificate is not accepted: {other}"),
        }
    }

    fn alert(&self, alert: AlertDescription) -> String {
        use AlertDescription as Alert;
        let about_us = matches!(
            alert,
            Alert::CertificateRequired
                | Alert::HandshakeFailure
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::DecryptError
        );
        match &self.certificate {
            None if about_us => {
                format!("the server asks for a client certificate, and none is set ({alert:?})")
            }
            Some(file) if about_us => {
                format!("the server does not accept the client certificate {file} ({alert:?})")
            }
            _ => format!("the server refused the connection ({alert:?})"),
        }
    }
}

/// The error of TLS in an error of a stream.
fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// A name without its type: `nacos.internal` of `DnsName("nacos.internal")`.
fn bare(name: &str) -> &str {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

/// A duration in words, from seconds.
struct Age(u64);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0;
        match seconds {
            0..120 => write!(f, "{seconds} s"),
            120..7_200 => write!(f, "{} minutes", seconds / 60),
            7_200..172_800 => write!(f, "{} hours", seconds / 3_600),
            _ => write!(f, "{} days", seconds / 86_400),
        }
    }
}
