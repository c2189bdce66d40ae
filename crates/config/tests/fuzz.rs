//! Documents that nobody thought of.

use pailou_config::{DocumentOutcome, Fault, ScgSettings, parse_route_document};
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

/// A fault names a place that there is, and says what is wrong in a line.
fn look_at(fault: &Fault, lines: usize) {
    let text = fault.to_string();
    assert!(!fault.problem.is_empty());
    assert!(text.len() < 4096, "{text}");
    if let Some(position) = fault.position {
        assert!(position.line as usize <= lines, "{text}");
    }
}
