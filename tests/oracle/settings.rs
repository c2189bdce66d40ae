//! What Spring's side of a case, its document and its arguments, is on our side.

use crate::corpus::{Document, Line};

/// The ports of the backends in the recordings.
pub(crate) const PORTS: [u16; 5] = [19201, 19202, 19203, 19204, 19205];
/// The port that nobody listened on.
pub(crate) const CLOSED: u16 = 19299;

/// The prefix of Spring Cloud Gateway's settings, in documents of 4.3 and of 5.0.
const OLD_PREFIX: &str = "spring.cloud.gateway";
const NEW_PREFIX: &str = "spring.cloud.gateway.server.webflux";

/// What a gateway starts with.
pub(crate) struct Setup {
    /// `gateway.yaml` but for the address of the registry.
    pub(crate) settings: String,
    pub(crate) document: String,
    /// Environment variables.
    pub(crate) variables: Vec<(String, String)>,
}

const SETTINGS: &str = "
listeners: [ { address: '127.0.0.1:0' }, { address: '[::1]:0' } ]
admin: { address: '127.0.0.1:0' }
probes: { address: '127.0.0.1:0' }
routes: [ { file: routes.yml }, { file: none.yaml } ]
registration: { enabled: false }
snapshot: { path: off }
shutdown: { drain_delay: 0s, deadline: 1s }
retry: { min_per_second: 1000 }
log: { format: json, access_file: access.log }
";

/// How the document and its arguments are given to the gateway.
pub(crate) fn setup(document: &Document, line: Line) -> Setup {
    let mut setup = Setup {
        settings: SETTINGS.to_owned(),
        document: document.text.clone(),
        variables: Vec::new(),
    };
    // Documents about the prefix are given as they are.
    let moved = line == Line::Five && !document.name.starts_with("prefix-");
    if moved {
        setup.document = setup
            .document
            .replace("\n    gateway:\n", "\n    gateway.server.webflux:\n");
    }
    let mut scg = Vec::new();
    if line == Line::Five {
        scg.push("compat: 5".to_owned());
    }
    if document.name.starts_with("locator") {
        scg.push("locator: [ svc-a, svc-b, svc_under, SVC-UP ]".to_owned());
    }
    let mut further = String::new();
    for arg in &document.args {
        let arg = arg.trim_start_matches("--");
        let (name, value) = arg.split_once('=').expect("an argument is name=value");
        match name {
            _ if name.ends_with(".trusted-proxies") => {
                let networks = networks(value);
                setup.settings += &format!("forwarded: {{ trusted_proxies: [{networks}] }}\n");
            }
            // The beans of that profile's application, and an account at Redis that it had.
            "spring.profiles.active" => {
                scg.push(
                    "beans: { ipKeyResolver: client_address, apiKeyResolver: 'header:X-Api-Key' }"
                        .to_owned(),
                );
                // The one that is marked as primary there, said where a document can say it.
                let prefix = if moved { NEW_PREFIX } else { OLD_PREFIX };
                let name = format!("{prefix}.filter.request-rate-limiter.key-resolver");
                further += &format!("'{name}': '#{{@ipKeyResolver}}'\n");
            }
            "spring.data.redis.port" => {}
            // Its error pages, which have no counterpart: the body is ours.
            _ if name.starts_with("server.error.") || name.starts_with("spring.web.error.") => {}
            "ORACLE_SET" => setup.variables.push((name.to_owned(), value.to_owned())),
            _ => {
                let name = match moved {
                    true => name.to_owned(),
                    false => name.replace(NEW_PREFIX, OLD_PREFIX),
                };
                further += &format!("'{name}': '{value}'\n");
            }
        }
    }
    if document.name == "xforwardedremoteaddr" {
        // Whom the predicate's header is believed of: in Spring, anybody.
        setup.settings += "forwarded: { trusted_proxies: [ 127.0.0.0/8, '::1/128' ] }\n";
    }
    if document.name == "placeholders" {
        let names = "ORACLE_SET, MY_NAME, a, b, server.port, BPORT, RID, PFX";
        scg.push(format!("placeholders: [ {names} ]"));
        let port = ("SERVER_PORT".to_owned(), "18090".to_owned());
        setup.variables.push(port);
    }
    if !scg.is_empty() {
        setup.settings += &format!("scg: {{ {} }}\n", scg.join(", "));
    }
    // An argument of Spring's is a setting that stands above the document: here, a later document of the same file.
    if !further.is_empty() {
        setup.document += &format!("\n---\n{further}");
    }
    setup
}

/// Spring's regular expression over addresses, as networks.
fn networks(expression: &str) -> &'static str {
    match expression {
        ".*" => "0.0.0.0/0, '::/0'",
        r"10\.0\.0\..*" => "10.0.0.0/24",
        r"127\.0\.0\.1|0:0:0:0:0:0:0:1.*|5\.6\.7\.8" => "127.0.0.1/32, '::1/128', 5.6.7.8/32",
        _ => panic!("no networks are known for {expression}"),
    }
}
