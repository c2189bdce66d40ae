use super::*;
use crate::{fault::Report, node::Node};

fn told(text: &str) -> (Option<Uri>, Vec<String>) {
    let report = Report::new("d");
    let node = Node::scalar(text, crate::Position { line: 1, column: 1 });
    let aliases = BTreeMap::from([("grayLb".to_owned(), "lb")]);
    let uri = read(&Field::new(&node, "uri", &report), &aliases);
    let faults = report.into_faults();
    (uri, faults.iter().map(ToString::to_string).collect())
}

#[test]
fn a_uri_leads_to_a_service_a_url_a_path_or_nowhere() {
    let url = |text: &str| Uri::Url(UpstreamUrl::parse(text).expect("a URL"));
    let service = |name: &str| Uri::Service(name.to_owned());
    for (text, expected) in [
        ("lb://user-service", service("user-service")),
        (" LB://User_Service/ ", service("User_Service")),
        ("lb:ws://svc", service("svc")),
        ("lb:http://svc", service("svc")),
        ("grayLb://svc", service("svc")),
        ("graylb://svc", service("svc")),
        ("http://10.0.0.1:8080", url("http://10.0.0.1:8080")),
        ("HTTP://a", url("http://a:80")),
        ("https://a/", url("https://a:443")),
        ("http://[::1]:81", url("http://[::1]:81")),
        ("forward:/u2/x", Uri::Forward("/u2/x".to_owned())),
        ("forward:///u2", Uri::Forward("/u2".to_owned())),
        ("no://op", Uri::Nowhere),
    ] {
        assert_eq!(told(text), (Some(expected), Vec::new()), "{text}");
    }
}

#[test]
fn what_spring_ignores_is_warned_of() {
    for (text, expected) in [
        (
            "http://a/ignored?x=1#f",
            "`/ignored?x=1#f` of the uri is ignored",
        ),
        ("lb://svc-a:9999", "the port in `svc-a:9999` is ignored"),
        ("lb://svc?x=1", "`?x=1` of the uri"),
        ("lb:https://svc", "`https` behind `lb:`"),
        ("ws://a", "asks for no upgrade"),
        ("wss://a", "asks for no upgrade"),
        ("http://u:secret@a", "the user in the uri is ignored"),
        ("forward:/a?x=1", "`?x=1` of the uri is ignored"),
    ] {
        let (uri, faults) = told(text);
        assert!(uri.is_some(), "{text}");
        assert_eq!(faults.len(), 1, "{text}");
        assert!(faults[0].starts_with("d:1:1: warning: uri: "), "{faults:?}");
        assert!(faults[0].contains(expected), "{faults:?}");
        assert!(!faults[0].contains("secret"));
    }
}

#[test]
fn what_leads_nowhere_is_refused() {
    for (text, expected) in [
        ("", "no scheme"),
        ("user-service", "no scheme"),
        ("localhost:8080", "no scheme"),
        ("/x", "no scheme"),
        (
            "foo://bar",
            "an unknown scheme; one of your own goes into scg.schemes in gateway.yaml, such as `foo: lb`",
        ),
        ("lb://", "no name of a service"),
        ("lb:svc", "no `//`"),
        ("lb:foo://svc", "no scheme that may stand behind"),
        ("http:///x", "neither a host name"),
        ("http://a b/", "neither a host name"),
        (
            "http://a:${PORT}",
            "no port from 1 to 65535; a placeholder needs its name",
        ),
        ("http://a:0", "no port"),
        ("http:a", "no `//`"),
        ("http://secret:x@a b", "the uri: neither a host name"),
        ("forward:x", "no path"),
        ("http://a\r\nb", "neither a host name"),
    ] {
        let (uri, faults) = told(text);
        assert_eq!(uri, None, "{text}");
        let fault = faults.last().expect("a fault");
        assert!(fault.contains(expected), "{text}: {fault}");
        assert!(!fault.contains("secret"), "{fault}");
    }
}
