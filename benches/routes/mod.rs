//! A company's routes, made up from a fixed seed: mostly prefixes of one or two levels, some exact paths, some hosts,
//! and canary twins that differ from their neighbour by a header only.

use std::fmt::Write as _;

/// How many services the routes lead to.
pub(crate) const SERVICES: usize = 500;

/// One route.
pub(crate) struct Entry {
    pub(crate) host: Option<String>,
    /// A literal path, or the part of a prefix before `/**`.
    pub(crate) literal: String,
    pub(crate) is_prefix: bool,
    pub(crate) is_canary: bool,
    lines: &'static str,
}

/// The first `count` routes: those of a small table are in every larger one.
pub(crate) fn entries(count: usize) -> Vec<Entry> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    for number in 0..count {
        let lines = match random.u32(..10) {
            0..=2 => "    strip_prefix: 1\n",
            3 => "    strip_prefix: 1\n    timeout: 5s\n    retries: 1\n",
            4 => "    filters: [ { set_request_header: { name: x-env, value: production } } ]\n",
            5 => "    balance: least_request\n",
            _ => "",
        };
        if let Some(before) = entries.last().filter(|before| !before.is_canary)
            && random.u32(..10) == 0
        {
            let twin = Entry {
                host: before.host.clone(),
                literal: before.literal.clone(),
                is_prefix: before.is_prefix,
                is_canary: true,
                lines,
            };
            entries.push(twin);
            continue;
        }
        let word = ["users", "orders", "stock", "payments", "search", "reports"][random.usize(..6)];
        let host = match random.u32(..20) {
            0..=1 => Some(format!("shop-{}.example.com", random.u32(..20))),
            2 => Some(format!("*.tenant-{}.example.com", random.u32(..20))),
            _ => None,
        };
        let (literal, is_prefix) = match random.u32(..10) {
            0..=5 => (format!("/api/{word}-{number}"), true),
            6..=8 => (format!("/api/v{}/{word}/{number}", random.u32(1..4)), true),
            _ => (format!("/hooks/{word}-{number}"), false),
        };
        entries.push(Entry {
            host,
            literal,
            is_prefix,
            is_canary: false,
            lines,
        });
    }
    entries
}

/// The route document of these routes. A route with another revision is a changed one.
pub(crate) fn document(entries: &[Entry], revision: impl Fn(usize) -> u32) -> String {
    let mut text = String::from("routes:\n");
    for (number, entry) in entries.iter().enumerate() {
        let path = if entry.is_prefix {
            format!("{}/**", entry.literal)
        } else {
            entry.literal.clone()
        };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "  route-{number}:\n    path: {path}\n    service: service-{}\n",
            number % SERVICES
        );
        if let Some(host) = &entry.host {
            let _ = writeln!(text, "    host: '{host}'");
        }
        if entry.is_canary {
            text.push_str("    match: { headers: { x-canary: 'true' } }\n");
        }
        text.push_str(entry.lines);
        let _ = writeln!(text, "    metadata: {{ revision: '{}' }}", revision(number));
    }
    text
}
