//! What the certificate of a client says, as its endpoint is told.
//!
//! - `x-client-cert-subject`: the subject as RFC 4514 writes it, the most
//!   special part first: `CN=alice,O=Shop`.
//! - `x-client-cert-san`: the subject alternative names, separated by commas:
//!   `DNS:alice.example,URI:spiffe://shop/alice`.
//!
//! Both are ASCII, and escaped so that one name cannot look like two. A client
//! cannot send them: they are dropped from each request, on every listener.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue};
use x509_parser::der_parser::asn1_rs::ToDer as _;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::facts;
use crate::field_set::FieldSet;

const SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const SAN: HeaderName = HeaderName::from_static("x-client-cert-san");

static OURS: LazyLock<FieldSet<2>> = LazyLock::new(|| FieldSet::new([SUBJECT, SAN]));

/// The most that goes to an endpoint with each request.
const MAX_BYTES: usize = 4096;

/// What a client's certificate says.
#[derive(Clone, Debug)]
pub(crate) struct ClientCertificate {
    subject: HeaderValue,
    san: HeaderValue,
    not_after: SystemTime,
}

/// Writes the headers about a client's certificate, if there is one, and removes those
/// that the client sent.
pub(crate) fn tell(client: Option<&ClientCertificate>, headers: &mut HeaderMap) {
    OURS.remove_from(headers);
    if let Some(client) = client {
        client.apply(headers);
    }
}

impl ClientCertificate {
    /// Reads a certificate that was verified. `None` if it says more than
    /// fits into headers, or cannot be read.
    pub(crate) fn of(der: &[u8]) -> Option<ClientCertificate> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = subject(certificate.subject())?;
        let san = match certificate.subject_alternative_name().ok()? {
            Some(names) => san(&names.value.general_names),
            None => String::new(),
        };
        let value = |text: String| match text.len() {
            0..=MAX_BYTES => HeaderValue::try_from(text).ok(),
            _ => None,
        };
        Some(ClientCertificate {
            subject: value(subject)?,
            san: value(san)?,
            not_after: facts::time(certificate.validity().not_after.timestamp()),
        })
    }

    /// Whether it has ended: a resumed session is not verified again.
    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        self.not_after < now
    }

    /// A part that is empty has no header.
    fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in [(SUBJECT, &self.subject), (SAN, &self.san)] {
            if !value.is_empty() {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// RFC 4514 section 2.
fn subject(name: &X509Name<'_>) -> Option<String> {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut out = String::new();
    for part in parts.into_iter().rev() {
        let mut separator = if out.is_empty() { "" } else { "," };
        for attribute in part.iter() {
            out.push_str(separator);
            push_attribute(&mut out, attribute)?;
            separator = "+";
        }
    }
    Some(out)
}

fn push_attribute(out: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    match oid2abbrev(attribute.attr_type(), oid_registry()) {
        Ok(name) => out.push_str(name),
        Err(_) => out.push_str(&attribute.attr_type().to_id_string()),
    }
    out.push('=');
    let Ok(text) = attribute.as_str() else {
        // A kind of text that is no ASCII and no UTF-8: its encoding in hex.
        out.push('#');
        for byte in attribute.attr_value().to_der_vec().ok()? {
            write!(out, "{byte:02x}").ok()?;
        }
        return Some(());
    };
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        let is_edge = (at == 0 && matches!(byte, b' ' | b'#')) || (at == last && byte == b' ');
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' if !is_edge => out.push(char::from(byte)),
            _ => write!(out, "\\{byte:02X}").ok()?,
        }
    }
    Some(())
}

fn san(names: &[GeneralName<'_>]) -> String {
    let mut out = String::new();
    for name in names {
        let (kind, text) = match name {
            GeneralName::DNSName(name) => ("DNS", (*name).to_owned()),
            GeneralName::RFC822Name(name) => ("email", (*name).to_owned()),
            GeneralName::URI(uri) => ("URI", (*uri).to_owned()),
            GeneralName::IPAddress(bytes) => match facts::address(bytes) {
                Some(address) => ("IP", address.to_string()),
                None => continue,
            },
            _ => continue,
        };
        if !out.is_empty() {
            out.push(',');
        }
        let _ = write!(out, "{kind}:");
        for byte in text.bytes() {
            // A comma would begin another name.
            let _ = match byte {
                b'!'..=b'~' if !matches!(byte, b',' | b'"' | b'\\') => {
                    write!(out, "{}", char::from(byte))
                }
                _ => write!(out, "%{byte:02X}"),
            };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn told(params: CertificateParams) -> Vec<(String, String)> {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let client = ClientCertificate::of(certificate.der()).expect("a short certificate");
        let mut headers = HeaderMap::new();
        headers.append(SUBJECT, HeaderValue::from_static("CN=forged"));
        headers.append(SAN, HeaderValue::from_static("DNS:forged"));
        headers.append(SAN, HeaderValue::from_static("DNS:twice"));
        tell(Some(&client), &mut headers);
        let text = |value: &HeaderValue| value.to_str().expect("ASCII").to_owned();
        let told = headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)));
        told.collect()
    }

    #[test]
    fn a_subject_is_written_so_that_no_part_passes_for_two() {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, " 牌楼 ");
        let wide = rcgen::string::BmpString::try_from("ab").expect("two letters");
        params
            .distinguished_name
            .push(DnType::LocalityName, rcgen::DnValue::BmpString(wide));
        params
            .distinguished_name
            .push(DnType::CommonName, "alice,CN=admin\r\nx: y");
        assert_eq!(
            told(params),
            [(
                "x-client-cert-subject".to_owned(),
                "CN=alice\\,CN\\=admin\\0D\\0Ax: y,L=#1e0400610062,O=\\20\\E7\\89\\8C\\E6\\A5\\BC\\20".to_owned()
            )]
        );
    }

    #[test]
    fn alternative_names_are_a_list_that_no_name_can_add_to() {
        let mut params = CertificateParams::new(["alice.example".to_owned()]).expect("a name");
        params.distinguished_name = rcgen::DistinguishedName::new();
        let uri = "spiffe://shop/a,DNS:admin.example";
        params
            .subject_alt_names
            .push(SanType::URI(uri.try_into().expect("ASCII")));
        let address = "2001:db8::1".parse().expect("an address");
        params.subject_alt_names.push(SanType::IpAddress(address));
        assert_eq!(
            told(params),
            [(
                "x-client-cert-san".to_owned(),
                "DNS:alice.example,URI:spiffe://shop/a%2CDNS:admin.example,IP:2001:db8::1"
                    .to_owned()
            )]
        );
    }

    #[test]
    fn what_does_not_fit_into_headers_is_refused() {
        let names: Vec<_> = (0..400).map(|n| format!("host-{n}.example")).collect();
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        assert!(ClientCertificate::of(certificate.der()).is_none());
        assert!(ClientCertificate::of(b"nonsense").is_none());
    }
}
