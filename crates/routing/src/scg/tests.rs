mod faults;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pailou_config::Node;
use pailou_filters::Bindings;

use super::*;
use crate::{Host, Request, Target};

/// Compiles `Name=shortcut`, or `Name{ args in YAML }`; the errors as text when it is refused, else the predicate and its warnings.
fn compiled_as(text: &str, compat: Compat) -> Result<(Box<dyn Predicate>, String), String> {
    let report = Report::new("test");
    let end = text.find(['=', '{']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let yaml = match rest.strip_prefix('=') {
        Some(shortcut) => {
            let tokens = shortcut
                .split(',')
                .map(str::trim)
                .filter(|token| !token.is_empty());
            let tokens: Vec<_> = tokens
                .enumerate()
                .map(|(index, token)| format!("_genkey_{index}: '{}'", token.replace('\'', "''")))
                .collect();
            format!("{{ {} }}", tokens.join(", "))
        }
        None if rest.is_empty() => "{}".to_owned(),
        None => rest.to_owned(),
    };
    let args = Node::parse_yaml(&yaml, &report).expect("YAML");
    let part = PartSpec {
        name: name.to_owned(),
        at: args.at,
        args,
        path: name.to_owned(),
    };
    let predicate = compile(&part, compat, &report);
    let has_errors = report.has_errors();
    let faults = report.into_faults();
    let faults: Vec<_> = faults.iter().map(Fault::to_string).collect();
    let faults = faults.join("\n");
    match has_errors {
        true => Err(faults),
        false => Ok((
            predicate.expect("a predicate that is refused has a fault"),
            faults,
        )),
    }
}

fn compiled(text: &str) -> Result<(Box<dyn Predicate>, String), String> {
    compiled_as(text, Compat::V4)
}

/// A request in one line: `GET host/path?query`, then header lines, then who sent it.
fn ask<T>(line: &str, lines: &[&str], peer: &str, ask: impl FnOnce(&Request<'_>) -> T) -> T {
    let (method, rest) = line.split_once(' ').expect("a method");
    let (raw_host, raw) = rest.split_at(rest.find('/').expect("a path"));
    let host = (!raw_host.is_empty()).then(|| Host::parse(raw_host.as_bytes()).expect("a host"));
    let target = Target::parse(raw.as_bytes()).expect("a target");
    let mut headers = HeaderMap::new();
    if !raw_host.is_empty() {
        headers.insert(http::header::HOST, raw_host.parse().expect("a value"));
    }
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header line");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).expect("a value");
        headers.append(name, value);
    }
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let peer: IpAddr = peer.parse().expect("an address");
    ask(&Request {
        peer,
        client: peer,
        ..Request::new(&method, host.as_ref().map(Host::name), &target, &headers)
    })
}

/// Whether a predicate holds.
fn holds(predicate: &str, line: &str, lines: &[&str]) -> bool {
    let (predicate, _) = compiled(predicate).expect(predicate);
    ask(line, lines, "127.0.0.1", |request| {
        predicate.matches(request)
    })
}

/// Each case is a predicate, a request with its header lines, and what a real gateway of 4.3 did.
#[track_caller]
fn all(cases: &[(&str, &str, &[&str], bool)]) {
    for (predicate, line, lines, expected) in cases {
        assert_eq!(
            holds(predicate, line, lines),
            *expected,
            "{predicate}: {line} {lines:?}"
        );
    }
}

#[test]
fn headers_are_split_at_commas_and_matched_as_a_whole() {
    all(&[
        (r"Header=X-Id, \d+", "GET /", &["x-id: 12"], true),
        (r"Header=X-Id, \d+", "GET /", &["x-id: 12a"], false),
        (r"Header=X-Id, \d+", "GET /", &["x-id: "], false),
        (r"Header=X-Id, \d+", "GET /", &["x-id: a, 2"], true),
        (r"Header=X-Id, \d+", "GET /", &["x-id: a", "x-id: 3"], true),
        (r"Header=X-Id, \d+", "GET /", &[r#"x-id: "12""#], true),
        (r"Header=X-Id, \d+", "GET /", &[], false),
        ("Header=X-Id", "GET /", &["x-id: x"], true),
        ("Header=X-Id", "GET /", &["x-id: "], false),
        ("Header=X-Id", "GET /", &[], false),
        ("Header=X-E, ", "GET /", &["x-e: x"], true),
        (
            "Header=X-Mode, (?i)true|yes",
            "GET /",
            &["x-mode: YES"],
            true,
        ),
        (
            "Header=X-Mode, (?i)true|yes",
            "GET /",
            &["x-mode: truex"],
            false,
        ),
        ("Header=X-Mode, ^a.*z$", "GET /", &["x-mode: aéz"], true),
        ("Header=X-Mode, a..z", "GET /", &["x-mode: aéz"], true),
        (
            r"Header{ header: X-C, regexp: '\d{2,4}' }",
            "GET /",
            &["x-c: 123"],
            true,
        ),
        (
            "Header=User-Agent, .*(iPhone|Android).*",
            "GET /",
            &["user-agent: Mozilla/5.0 (Linux; Android 14) A, like Gecko"],
            true,
        ),
        (
            "Header=Cookie, .*tok=1.*",
            "GET /",
            &["cookie: a=b; tok=1"],
            true,
        ),
        (
            r"Header=Accept, application/vnd.x\+json",
            "GET /",
            &["accept: text/html, application/vnd.x+json"],
            true,
        ),
        (
            r"Header=Accept, application/vnd.x\+json",
            "GET /",
            &["accept: application/vnd.x+json;q=0.5"],
            false,
        ),
        (
            "Header=Date, .*GMT",
            "GET /",
            &["date: Tue, 15 Nov 2026 08:12:31 GMT"],
            true,
        ),
    ]);
}

#[test]
fn parameters_are_compared_decoded() {
    all(&[
        ("Query=k", "GET /?k", &[], true),
        ("Query=k", "GET /?k=v", &[], true),
        ("Query=k", "GET /?x=k", &[], false),
        ("Query=k", "GET /?a&k", &[], true),
        ("Query=k", "GET /", &[], false),
        ("Query=k", "GET /?=k", &[], true),
        ("Query=k", "GET /?K", &[], false),
        ("Query=k, ba.", "GET /?k=foo&k=baz", &[], true),
        ("Query=k, ba.", "GET /?k=ba%72", &[], true),
        ("Query=k, ba.", "GET /?k", &[], false),
        ("Query=k, ba.", "GET /?k=", &[], false),
        ("Query=k, ba.", "GET /?k=barn", &[], false),
        (r"Query=name, \w+ \w+", "GET /?name=a+b", &[], true),
        (r"Query=name, \w+ \w+", "GET /?name=a%20b", &[], true),
        ("Query=k, .*", "GET /?k", &[], false),
        ("Query=k, .*", "GET /?k=", &[], true),
        ("Query=中, .+", "GET /?%E4%B8%AD=1", &[], true),
        ("Query=a b", "GET /?a+b=1", &[], true),
        ("Query=k, (a|b)", "GET /?k=a;k2=c", &[], false),
        ("Query=k, (a|b)", "GET /?k=a&amp;x", &[], true),
        ("Query=k[],1", "GET /?k[]=1", &[], true),
        ("Query=k, (?!admin).+", "GET /?k=user", &[], true),
        ("Query=k, (?!admin).+", "GET /?k=admin", &[], false),
    ]);
}

#[test]
fn cookies_are_those_that_netty_takes() {
    let canary = "Cookie=canary, always";
    all(&[
        (canary, "GET /", &["cookie: canary=always"], true),
        (canary, "GET /", &["cookie: canary=alwaysx"], false),
        (canary, "GET /", &["cookie: a=1; canary=always"], true),
        (canary, "GET /", &["cookie: canary=no; canary=always"], true),
        (
            canary,
            "GET /",
            &["cookie: a=1", "cookie: canary=always"],
            true,
        ),
        (canary, "GET /", &[r#"cookie: canary="always""#], true),
        (canary, "GET /", &[r#"cookie: canary="always"#], false),
        (canary, "GET /", &[], false),
        (canary, "GET /", &["cookie: canary = always"], false),
        (canary, "GET /", &["cookie: canary=always; $Path=/"], true),
        (canary, "GET /", &["cookie: a=1;canary=always"], true),
        (canary, "GET /", &["cookie: a=1, canary=always"], false),
        (
            canary,
            "GET /",
            &["cookie: bad name=1; canary=always"],
            true,
        ),
        (r"Cookie=id, \d+", "GET /", &["cookie: id=%31"], false),
        ("Cookie=x, .*", "GET /", &["cookie: x="], true),
        ("Cookie=x, .*", "GET /", &["cookie: x=1=2"], true),
        ("Cookie=x, .*", "GET /", &["cookie: x=a b"], false),
        ("Cookie=x, .*", "GET /", &["cookie: y=1"], false),
    ]);
}

#[test]
fn methods_are_compared_as_they_are_written() {
    all(&[
        ("Method=GET,POST", "GET /", &[], true),
        ("Method=GET,POST", "DELETE /", &[], false),
        ("Method=get", "GET /", &[], false),
        ("Method{ methods: 'GET,POST' }", "GET /", &[], false),
        ("Method{ methods: [GET, PUT] }", "PUT /", &[], true),
        ("Method{ method: PATCH }", "PATCH /", &[], true),
        ("Method=PURGE", "PURGE /", &[], true),
    ]);
    for (text, warning) in [
        ("Method=get", "methods are in capitals"),
        ("Method{ methods: 'GET,POST' }", "is one method"),
        ("Method=PURGE", "in Spring it never does"),
    ] {
        let (_, warnings) = compiled(text).expect(text);
        assert!(warnings.contains(warning), "{text}: {warnings}");
    }
}

#[test]
fn hosts_are_matched_with_their_port_and_without_case() {
    all(&[
        ("Host=**.somehost.org", "GET www.somehost.org/", &[], true),
        ("Host=**.somehost.org", "GET somehost.org/", &[], true),
        ("Host=**.SomeHost.org", "GET WWW.SOMEHOST.ORG/", &[], true),
        ("Host=**.somehost.org", "GET xsomehost.org/", &[], false),
        (
            "Host=**.somehost.org",
            "GET www.somehost.org:8080/",
            &[],
            false,
        ),
        (
            "Host=**.somehost.org",
            "GET www.somehost.org:80/",
            &[],
            true,
        ),
        ("Host=**.somehost.org", "GET /", &[], false),
        ("Host=**.ported.org:*", "GET x.ported.org:8080/", &[], true),
        ("Host=**.ported.org:*", "GET x.ported.org:80/", &[], true),
        ("Host=**.ported.org:*", "GET x.ported.org/", &[], false),
        (
            "Host=exactport.org:8443",
            "GET exactport.org:8443/",
            &[],
            true,
        ),
        ("Host=exactport.org:8443", "GET exactport.org/", &[], false),
        ("Host=[::1]:*", "GET [::1]:8080/", &[], true),
        ("Host=10.0.0.*", "GET 10.0.0.7:8080/", &[], true),
        (
            "Host{ patterns: [a.l.org, b.l.org] }",
            "GET b.l.org/",
            &[],
            true,
        ),
        (
            "Host{ pattern: 'a.l.org,b.l.org' }",
            "GET b.l.org/",
            &[],
            false,
        ),
        (
            "Host=plain.org",
            "GET plain.org/",
            &["x-forwarded-host: other.org"],
            true,
        ),
    ]);
}

#[test]
fn a_slash_at_the_end_is_tolerated_as_the_line_does() {
    for (text, v4, v5) in [
        ("Path=/x", true, false),
        ("Path=/x,true", true, false),
        ("Path=/x,false", false, false),
        (
            "Path{ patterns: [/x], matchTrailingSlash: false }",
            false,
            false,
        ),
        (
            "Path{ patterns: [/x], match-trailing-slash: 'TRUE' }",
            true,
            false,
        ),
    ] {
        for (compat, expected) in [(Compat::V4, v4), (Compat::V5, v5)] {
            let (path, _) = compiled_as(text, compat).expect(text);
            let found = ask("GET /x/", &[], "::1", |request| path.matches(request));
            assert_eq!(found, expected, "{text} {compat:?}");
            assert!(
                ask("GET /x", &[], "::1", |request| path.matches(request)),
                "{text}"
            );
        }
    }
}

#[test]
fn the_first_pattern_that_matches_binds_its_variables() {
    let bound = |text: &str, line: &str| {
        let (predicate, _) = compiled(text).expect(text);
        let mut bindings = Bindings::default();
        ask(line, &[], "::1", |request| {
            predicate.bind(request, &mut bindings)
        });
        let pairs = bindings.iter();
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    let pairs = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    for (text, line, expected) in [
        (
            "Path=/one/{a},/two/{a}/x,/three/**",
            "GET /two/2/x",
            &[("a", "2")][..],
        ),
        ("Path=/one/{a},/two/{a}/x,/three/**", "GET /three/3", &[]),
        ("Path=/dup/{a},/dup/{b}", "GET /dup/9", &[("a", "9")]),
        ("Path=/v/{id}", "GET /v/a%2Fb", &[("id", "a/b")]),
        ("Path=/v/{id}", "GET /v/7;k=v", &[("id", "7")]),
        ("Path=/r/{*rest}", "GET /r/a%20b/c", &[("rest", "/a b/c")]),
        ("Host=a.two.org,{x}.two.org", "GET a.two.org/", &[]),
        (
            "Host=a.two.org,{x}.two.org",
            "GET b.two.org/",
            &[("x", "b")],
        ),
        (
            "Host={x}.two.org:{port}",
            "GET b.two.org:81/",
            &[("x", "b"), ("port", "81")],
        ),
    ] {
        assert_eq!(bound(text, line), pairs(expected), "{text} {line}");
    }
    let (path, _) = compiled("Path=/a/{x},/b/{*y}").expect("legal");
    let names: Vec<&str> = path.names().iter().map(|name| &**name).collect();
    assert_eq!(names, ["x", "y"]);
}

#[test]
fn the_peer_has_to_be_in_a_network() {
    for (text, peer, expected) in [
        ("RemoteAddr=127.0.0.1", "127.0.0.1", true),
        ("RemoteAddr=127.0.0.1", "127.0.0.2", false),
        ("RemoteAddr=127.0.0.0/30", "127.0.0.3", true),
        ("RemoteAddr=10.1.2.3/8", "10.9.9.9", true),
        ("RemoteAddr=10.0.0.0/8,127.0.0.7", "127.0.0.7", true),
        ("RemoteAddr=::1/128", "127.0.0.1", false),
        ("RemoteAddr=::1", "::1", true),
        ("RemoteAddr=0.0.0.0/0", "::1", false),
        ("RemoteAddr=0.0.0.0/0", "::ffff:10.0.0.1", true),
        ("RemoteAddr{ sources: [127.0.0.9] }", "127.0.0.9", true),
        ("RemoteAddr=0:0:0:1::", "::1", false),
        ("RemoteAddr=localhost", "127.0.0.1", true),
        ("RemoteAddr=localhost", "::1", false),
    ] {
        let (predicate, _) = compiled(text).expect(text);
        // What the client claims does not count.
        let claims = &["x-forwarded-for: 127.0.0.1", "forwarded: for=127.0.0.1"];
        let found = ask("GET /", claims, peer, |request| predicate.matches(request));
        assert_eq!(found, expected, "{text} from {peer}");
    }
    let (_, warnings) = compiled("RemoteAddr=2001:db8::1").expect("legal");
    assert!(
        warnings.contains("in Spring it is the network `2001:db8::1/32`"),
        "{warnings}"
    );
}

#[test]
fn the_forwarded_client_has_to_be_in_a_network() {
    let second = "XForwardedRemoteAddr{ sources: [20.0.0.0/8], maxTrustedIndex: 2 }";
    for (text, lines, expected) in [
        (
            "XForwardedRemoteAddr=20.0.0.0/8",
            &["x-forwarded-for: 20.1.1.1"][..],
            true,
        ),
        (
            "XForwardedRemoteAddr=20.0.0.0/8",
            &["x-forwarded-for: 30.1.1.1"],
            false,
        ),
        (
            "XForwardedRemoteAddr=20.0.0.0/8",
            &["x-forwarded-for: 30.1.1.1,20.1.1.1"],
            true,
        ),
        (
            "XForwardedRemoteAddr=20.0.0.0/8",
            &["x-forwarded-for: 20.1.1.1, 30.1.1.1"],
            false,
        ),
        // As the gateway leaves the header: the peer is its last entry.
        (
            "XForwardedRemoteAddr=20.0.0.0/8",
            &["x-forwarded-for: 20.1.1.1, 127.0.0.1"],
            true,
        ),
        (
            "XForwardedRemoteAddr=20.0.0.0/8",
            &["x-forwarded-for: 127.0.0.1"],
            false,
        ),
        (
            "XForwardedRemoteAddr=20.0.0.0/8",
            &["x-forwarded-for: 20.1.1.1:1234"],
            false,
        ),
        (
            "XForwardedRemoteAddr=20.0.0.0/8",
            &["x-forwarded-for: bad"],
            false,
        ),
        (
            "XForwardedRemoteAddr=20.0.0.0/8",
            &["x-forwarded-for: unknown, 20.1.1.1"],
            true,
        ),
        (
            "XForwardedRemoteAddr=20.0.0.0/8",
            &["x-forwarded-for: 20.1.1.1,"],
            true,
        ),
        (
            "XForwardedRemoteAddr=127.0.0.1",
            &["x-forwarded-for: 30.0.0.1", "x-forwarded-for: 20.0.0.1"],
            true,
        ),
        ("XForwardedRemoteAddr=127.0.0.1", &[], true),
        (
            "XForwardedRemoteAddr=127.0.0.1",
            &["x-forwarded-for: "],
            true,
        ),
        (second, &["x-forwarded-for: 20.1.1.1, 30.1.1.1"], true),
        (second, &["x-forwarded-for: 20.1.1.1"], true),
        (second, &["x-forwarded-for: 30.1.1.1, 20.1.1.1"], false),
    ] {
        let (predicate, _) = compiled(text).expect(text);
        let found = ask("GET /", lines, "127.0.0.1", |request| {
            predicate.matches(request)
        });
        assert_eq!(found, expected, "{text} {lines:?}");
    }
    let (_, warnings) = compiled(second).expect("legal");
    assert!(
        warnings.contains("`maxTrustedIndex` is honoured"),
        "{warnings}"
    );
}

#[test]
fn times_are_compared_strictly() {
    let at = |milliseconds| SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
    for (text, time, expected) in [
        ("After=1000", 1001, true),
        ("After=1000", 1000, false),
        ("Before=1000", 999, true),
        ("Before=1000", 1000, false),
        ("Between=1000, 2000", 1500, true),
        ("Between=1000, 2000", 1000, false),
        ("Between=1000, 2000", 2000, false),
        (
            "Between{ datetime2: '1970-01-01T00:00:02Z', datetime1: '1970-01-01T01:00:01+01:00[Europe/Paris]' }",
            1500,
            true,
        ),
        ("After=-5", 0, true),
    ] {
        let (predicate, _) = compiled(text).expect(text);
        let found = ask("GET /", &[], "::1", |request| {
            let time = Some(at(time));
            predicate.matches(&Request { time, ..*request })
        });
        assert_eq!(found, expected, "{text} at {time}");
    }
    let (predicate, _) =
        compiled("After=2017-01-20T17:42:47.789-07:00[America/Denver]").expect("legal");
    assert!(
        ask("GET /", &[], "::1", |request| predicate.matches(request)),
        "it is now"
    );
}

#[test]
fn versions_are_compared_number_by_number() {
    let of_header =
        |version: &str| format!("Version{{ version: '{version}', apiversion.use.header: X-V }}");
    let with = |text: &str, line: &str, lines: &[&str]| {
        let (predicate, _) = compiled_as(text, Compat::V5).expect(text);
        ask(line, lines, "::1", |request| predicate.matches(request))
    };
    for (wanted, said, expected) in [
        ("1.1", "1.1", true),
        ("1.1", "1.1.0", true),
        ("1.1", "v1.1", true),
        ("1.1", "1.0", false),
        ("1", "1.0", true),
        ("1.2+", "1.2", true),
        ("1.2+", "2.0", true),
        ("1.2+", "1.10", true),
        ("1.2+", "1.1.9", false),
        ("1.2+", "3.0", true),
        ("1.1", "abc", false),
        ("1.1", "1.1.0.0", false),
        ("1.1", "1.", false),
    ] {
        let line = format!("x-v: {said}");
        assert_eq!(
            with(&of_header(wanted), "GET /", &[&line]),
            expected,
            "{wanted} {said}"
        );
    }
    assert!(
        !with(&of_header("1.0"), "GET /", &[]),
        "nothing is said, and there is no default"
    );
    let default =
        "Version{ version: 1.2+, apiversion.use.query-parameter: v, apiversion.default: '1.3' }";
    assert!(with(default, "GET /", &[]));
    assert!(!with(default, "GET /?v=1.1", &[]));
    let whole = "Version{ version: '1', apiversion: { use: { header: X-V }, supported: ['1.0', '1.1'], required: false } }";
    let (_, warnings) = compiled_as(whole, Compat::V5).expect(whole);
    assert_eq!(warnings, "");
    let segment = "Version{ version: '2', apiversion: { use: { path-segment: 1 } } }";
    assert!(with(segment, "GET /api/v2/x", &[]));
    assert!(!with(segment, "GET /v2/api", &[]));
}
