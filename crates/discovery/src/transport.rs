//! What an instance says that it speaks, in its metadata.

use std::collections::BTreeMap;

use pailou_upstream::{Http, Transport};

/// How an instance with this metadata is spoken to: `protocol` is `http`, `https`, `h2c`, `h2`, `grpc` or `grpcs`, in any
/// case; without one of these,
/// `secure: "true"` is what Spring registers for TLS. Other words, such as those of RPC frameworks, say nothing.
pub(crate) fn transport_of(metadata: &BTreeMap<String, String>) -> Transport {
    let is = |value: &str, word: &str| value.trim().eq_ignore_ascii_case(word);
    let says = |key: &str, word: &str| metadata.get(key).is_some_and(|value| is(value, word));
    let is_secure = says("secure", "true");
    let (tls, http) = if says("protocol", "http") {
        (false, Http::Http1)
    } else if says("protocol", "https") {
        (true, Http::Http1)
    } else if says("protocol", "h2c") {
        (false, Http::Http2)
    } else if says("protocol", "h2") || says("protocol", "grpcs") {
        (true, Http::Http2)
    } else if says("protocol", "grpc") {
        (is_secure, Http::Http2)
    } else {
        (is_secure, Http::Http1)
    };
    Transport { tls, http }
}

/// The port where an instance speaks gRPC beside HTTP, as Spring's gRPC starter (net.devh) registers it.
pub(crate) fn grpc_port_of(metadata: &BTreeMap<String, String>) -> Option<u16> {
    let port = metadata
        .get("gRPC_port")
        .or_else(|| metadata.get("gRPC.port"))?;
    port.trim().parse().ok().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_says_what_is_spoken() {
        for (metadata, expected) in [
            (&[][..], "http"),
            (&[("secure", "true")], "https"),
            (&[("secure", "false")], "http"),
            (&[("secure", "")], "http"),
            (&[("protocol", "http")], "http"),
            (&[("protocol", "HTTPS")], "https"),
            (&[("protocol", "h2c")], "h2c"),
            (&[("protocol", "grpc")], "h2c"),
            (&[("protocol", "grpcs")], "h2"),
            (&[("protocol", "h2")], "h2"),
            (&[("protocol", "grpc"), ("secure", "True")], "h2"),
            (&[("protocol", "http"), ("secure", "true")], "http"),
            (&[("protocol", "dubbo")], "http"),
            (&[("protocol", "dubbo"), ("secure", "true")], "https"),
            (&[("preserved.register.source", "SPRING_CLOUD")], "http"),
        ] {
            let pairs = metadata.iter().copied();
            let metadata = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let metadata: BTreeMap<_, _> = metadata.collect();
            assert_eq!(transport_of(&metadata).word(), expected, "{metadata:?}");
        }
    }

    #[test]
    fn a_second_port_is_for_grpc() {
        for (metadata, expected) in [
            (&[("gRPC_port", "9090")][..], Some(9090)),
            (&[("gRPC.port", " 9090 ")], Some(9090)),
            (&[("gRPC_port", "9091"), ("gRPC.port", "9090")], Some(9091)),
            (&[("gRPC_port", "0")], None),
            (&[("gRPC_port", "-1")], None),
            (&[("gRPC_port", "70000")], None),
            (&[("grpc_port", "9090")], None),
            (&[], None),
        ] {
            let pairs = metadata.iter().copied();
            let metadata = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let metadata: BTreeMap<_, _> = metadata.collect();
            assert_eq!(grpc_port_of(&metadata), expected, "{metadata:?}");
        }
    }
}
