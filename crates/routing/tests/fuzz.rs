//! Targets and hosts that nobody thought of.

use pailou_fuzz::Fuzz;
use pailou_routing::{Host, Target};

const TARGETS: [&str; 14] = [
    "/",
    "/api/users/7?q=1&r=%20",
    "/api/./%75sers;v=1//7?q=%zz",
    "/a/b/../../c/%2e%2E/d",
    "/%2f/%5c/%25/%zz",
    "http://shop.example:8080/a?b",
    "https://[2001:db8::7]:443?x",
    "http://user@host/",
    "/a;b=c/d;e=f;g",
    "/\u{4e2d}/{id}/[x]|^`\"<>",
    "*",
    "host:443",
    "/a#b",
    "//a///b",
];

const WORDS: [&str; 16] = [
    "%2f", "%2F", "%2e", "%2e%2e", "..", "/../", ";", "%3b", "%5c", "\\", "%00", "%25", "//", "?",
    "http://", "%c3%a9",
];

#[test]
fn fuzz_target() {
    let fuzz = Fuzz::new("target").seeds(TARGETS).words(WORDS);
    fuzz.run(|raw| {
        let target = match Target::parse(raw) {
            Ok(target) => target,
            Err(error) => return (Some(error), [false; 4], 0),
        };
        let (path, forwarded) = (target.path(), target.forwarded_path());
        for path in [path, forwarded] {
            assert!(path.starts_with('/'), "{path}");
            assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
            assert!(!path.contains('?') && !path.contains('#'), "{path}");
            assert!(!path.contains("//"), "{path}");
            let dots = path.split('/').any(|part| matches!(part, "." | ".."));
            assert!(!dots, "{path}");
            assert!(!path.to_ascii_lowercase().contains("%2e"), "{path}");
        }
        assert!(!path.contains(';'), "{path}");
        let query = target.query();
        assert!(query.is_none_or(|query| query.bytes().all(|byte| byte > b' ' && byte != 0x7f)));
        // What is forwarded means to us what was matched.
        let sent = match query {
            Some(query) => format!("{forwarded}?{query}"),
            None => forwarded.to_owned(),
        };
        let again = Target::parse(sent.as_bytes()).expect("what is forwarded is legal");
        assert_eq!(again.forwarded_path(), forwarded);
        assert_eq!(again.path(), path);
        assert_eq!(again.query(), query);
        let parts = forwarded.split('/').count().min(5);
        let traits = [
            target.authority().is_some(),
            target.has_encoded_slash(),
            query.is_some(),
            path != forwarded,
        ];
        (None, traits, parts)
    });
}

#[test]
fn fuzz_host() {
    let seeds = [
        "shop.example.com",
        "Shop.Example.com.:8080",
        "127.0.0.1:1",
        "[2001:db8::7]:443",
        "[::ffff:192.0.2.1]",
        "a_b~c-d",
        "user@host:80",
        "xn--fsq.example",
    ];
    let fuzz = Fuzz::new("host")
        .seeds(seeds)
        .words([":", ".", "[", "]", "65535", "65536"]);
    fuzz.run(|raw| {
        let Ok(host) = Host::parse(raw) else {
            return None;
        };
        let name = host.name();
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(&byte);
        assert!(name.bytes().all(is_legal), "{name}");
        assert!(
            !name.bytes().any(|byte| byte.is_ascii_uppercase()),
            "{name}"
        );
        let text = match host.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        let again = Host::parse(text.as_bytes()).expect("its own text is a host");
        assert_eq!(again, host, "{text}");
        Some((
            host.port().is_some(),
            name.starts_with('['),
            name.len().min(20),
        ))
    });
}
