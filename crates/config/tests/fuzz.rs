//! Documents that nobody thought of.

use std::collections::HashSet;

use pailou_config::{
    DocumentOutcome, Fault, ScgSettings, Severity, parse_route_document, parse_scg_document,
};
use pailou_fuzz::Fuzz;

const NATIVE: &str = "# a comment
routes:
  /api/users/**: user-service
  /api/orders/**:
    service: { name: order-service, group: DEFAULT_GROUP, metadata: { version: v2 } }
    strip_prefix: 1
    balance: least_request
    timeout: 5s
  canary:
    path: /api/users/**
    host: '*.example.com'
    order: -1
    match: { methods: [GET, POST], headers: { x-canary: \"true\" }, query: { a: b }, cookies: { c: d } }
    to: http://127.0.0.1:8080
    filters:
      - set_request_header: { name: x-env, value: canary }
      - add_response_header: { name: x, value: \"y\\n\" }
";

const OTHERS: [&str; 8] = [
    "routes: {}",
    "routes: { a: &x { path: /a, service: s }, b: *x }",
    "base: &b { timeout: 1s }\nroutes: { /a/**: { <<: *b, service: s } }",
    "routes:\n  - id: one\n    uri: lb://user-service\n    predicates: [ Path=/a/** ]\n    filters: [ StripPrefix=1 ]\n",
    "spring:\n  cloud:\n    gateway:\n      routes:\n      - id: a\n        uri: lb://a\n        predicates:\n        - Path=/a/{b}\n        - name: Method\n          args: { methods: GET }\n",
    "[{\"id\":\"a\",\"uri\":\"lb://a\",\"predicates\":[{\"name\":\"Path\",\"args\":{\"_genkey_0\":\"/a/**\"}}],\"order\":1}]",
    "spring.cloud.gateway.routes[0].id=a\nspring.cloud.gateway.routes[0].uri=lb://a\n",
    "%YAML 1.2\n---\nroutes: |\n  text\n...\n",
];

const WORDS: [&str; 30] = [
    "routes:",
    "service:",
    "path:",
    "filters:",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!!binary ",
    "---\n",
    "...\n",
    "|-\n",
    ">+\n",
    "? ",
    "- ",
    "\n  ",
    "\t",
    "{",
    "}",
    "[",
    "]",
    "null",
    "~",
    "0x7f",
    "1e999",
    "-0",
    "\u{feff}",
    "\u{85}",
    "9223372036854775808",
    "Path=",
];

#[test]
fn fuzz_document() {
    let fuzz = Fuzz::new("document")
        .seed(NATIVE)
        .seeds(OTHERS)
        .words(WORDS)
        .max_bytes(4096);
    let settings = ScgSettings::default();
    fuzz.run(|bytes| {
        // Sources refuse what is no text before it comes here.
        let text = String::from_utf8_lossy(bytes);
        let (kind, faults, routes) = match parse_route_document("doc.yaml", &text, &settings) {
            DocumentOutcome::Blank => return (0, Vec::new(), 0),
            DocumentOutcome::Refused(parsed) => {
                assert!(!parsed.faults.is_empty(), "a refusal has a reason");
                (1, parsed.faults, parsed.routes)
            }
            DocumentOutcome::Routes(parsed) => (2, parsed.faults, parsed.routes),
        };
        // YAML ends lines with CR as well.
        let lines = 1 + text.bytes().filter(|byte| b"\r\n".contains(byte)).count();
        for fault in &faults {
            look_at(fault, lines);
        }
        for route in &routes {
            assert!(!route.id.is_empty());
        }
        // What is quoted in a fault is the input's own.
        let problem = |fault: &Fault| fault.problem.split('`').next().map(str::to_owned);
        let problems: Vec<_> = faults.iter().take(3).map(problem).collect();
        (kind, problems, routes.len())
    });
}

const SCG: [&str; 6] = [
    "spring:\n  profiles: a\n---\nspring:\n  config.activate.on-profile: '!a & b'\n  cloud.gateway:\n    default-filters: [ A=1 ]\n    routes:\n    - { id: \"${N:x}\", uri: 'lb:ws://a:1/x', order: ' 7 ', metadata: { response-timeout: -1, nacos: { group: g } } }\n",
    "spring.cloud.gateway.routes[0].id=a\\\n  b\nspring.cloud.gateway.routes[1].filters[0].args.x[0]=\\u0041#{@b}\n#---\nspring.profiles=a\nspring.cloud.gateway.globalcors.cors-configurations.[/**].max-age: 1\n",
    "{\"refreshGatewayRoute\":true,\"routeList\":[{\"id\":\"a\",\"uri\":\"http://u@h:1/p?q\",\"predicates\":[\"Path=/a,/b\",{\"name\":\"Host\",\"args\":[\"a\",1]}],\"filters\":\"A\"}]}",
    "spring.cloud.gateway: { httpclient: { connect-timeout: 1, response-timeout: PT1S }, globalcors: { cors-configurations: { '[/a.b/**]': { maxAge: 1 } } }, discovery.locator.enabled: true, routes: [] }",
    "spring.cloud.gateway.server.webflux.routes: [ &r { uri: 'forward:/x', predicates: [ A= ] }, *r, { <<: *r, id: 'a~2' } ]",
    "[{\"id\":\"a\",\"id\":\"\\ud83d\\ude00\",\"uri\":\"no://op\",\"predicates\":[],\"filters\":[{\"args\":{\"backoff\":{\"first\":\"1ms\"}},\"name\":\"Retry\"}],\"metadata\":{\"cors\":{}}}]",
];

const SCG_WORDS: [&str; 24] = [
    "spring.",
    "cloud.",
    "gateway.",
    "routes",
    "[0]",
    "[4294967295]",
    "=",
    "${",
    ":",
    "}",
    "#{@b}",
    "\\",
    "\\u00",
    "---\n",
    "#---\n",
    "lb://",
    "args",
    "filters",
    "_genkey_0",
    "metadata",
    "uri",
    "predicates",
    "\r\n",
    "\0",
];

#[test]
fn fuzz_scg_document() {
    let fuzz = Fuzz::new("scg_document")
        .seeds(SCG)
        .seeds(OTHERS)
        .words(SCG_WORDS)
        .max_bytes(4096);
    fuzz.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let parsed = match parse_scg_document("doc", &text, &ScgSettings::default()) {
            DocumentOutcome::Blank => return (0, 0, 0, None),
            DocumentOutcome::Refused(parsed) => {
                assert!(!parsed.faults.is_empty(), "a refusal has a reason");
                parsed
            }
            DocumentOutcome::Routes(parsed) => parsed,
        };
        let lines = 1 + text.bytes().filter(|byte| b"\r\n".contains(byte)).count();
        let mut ids = HashSet::new();
        for route in &parsed.refused {
            assert!(route.place <= parsed.routes.len() && ids.insert(&route.id));
            let is_error = |fault: &Fault| fault.severity == Severity::Error;
            assert!(route.faults.iter().any(is_error), "a refusal has a reason");
            route.faults.iter().for_each(|fault| look_at(fault, lines));
        }
        for route in &parsed.routes {
            assert!(
                !route.id.is_empty() && ids.insert(&route.id),
                "{}",
                route.id
            );
        }
        parsed.faults.iter().for_each(|fault| look_at(fault, lines));
        let refused = parsed
            .refused
            .first()
            .and_then(|route| route.faults.first());
        let first = refused.or(parsed.faults.first());
        let problem = first.and_then(|fault| fault.problem.split('`').next().map(str::to_owned));
        (1, parsed.routes.len(), parsed.refused.len(), problem)
    });
}

/// A fault names a place that there is, and says what is wrong in a line.
fn look_at(fault: &Fault, lines: usize) {
    let text = fault.to_string();
    assert!(!fault.problem.is_empty());
    assert!(text.len() < 4096, "{text}");
    if let Some(position) = fault.position {
        assert!(position.line as usize <= lines, "{text}");
    }
}
