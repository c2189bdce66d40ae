//! The same routes in the form of Spring Cloud Gateway.

use std::fmt::Write as _;

use crate::routes::{Entry, SERVICES};

/// The document of these routes. A third of them rewrites the path by an expression, as such documents do.
pub(crate) fn document(entries: &[Entry]) -> String {
    let mut text = String::from("spring:\n  cloud:\n    gateway:\n      routes:\n");
    for (number, entry) in entries.iter().enumerate() {
        let rest = if entry.is_prefix { "/**" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "        - id: route-{number}\n          uri: lb://service-{}\n          predicates:\n            - Path={}{rest}\n",
            number % SERVICES,
            entry.literal
        );
        if let Some(host) = &entry.host {
            let _ = writeln!(text, "            - Host={host}");
        }
        if entry.is_canary {
            text.push_str("            - Header=X-Canary, true\n          order: -1\n");
        }
        match number % 3 {
            0 => {
                let _ = writeln!(
                    text,
                    "          filters: [ 'RewritePath={}/?(?<rest>.*), /$\\{{rest}}' ]",
                    entry.literal
                );
            }
            1 => text.push_str("          filters: [ StripPrefix=1 ]\n"),
            _ => {}
        }
    }
    text
}
