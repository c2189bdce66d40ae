//! A route as native YAML.

use std::fmt::Write as _;

use pailou_config::{
    CanaryFallback, CanarySpec, EncodedSlashes, Limit, Node, PartSpec, Protocol, RequestValue,
    RouteSpec, Scalar, ServiceSpec, TargetSpec, Value, format_duration,
};

/// A comment of as many lines as the text has.
pub(super) fn comment(text: &mut String, indent: &str, said: &str) {
    for line in said.lines() {
        let _ = writeln!(text, "{indent}# {line}");
    }
}

/// A route under `routes:`.
pub(super) fn route(text: &mut String, spec: &RouteSpec, order: i32) {
    let _ = writeln!(text, "  {}:", string(&spec.id));
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "    {key}: {value}");
    };
    let (path, conditions) = conditions(spec);
    if !spec.id.starts_with('/') {
        line("path", string(&path));
    }
    line("order", order.to_string());
    if !conditions.is_empty() {
        line("match", list(conditions.iter().map(|part| one(part))));
    }
    match &spec.target {
        Some(TargetSpec::Service(service)) => line("service", self::service(service)),
        Some(TargetSpec::Url(target)) => line("to", string(&target.url.to_string())),
        Some(TargetSpec::Forward(path)) => line("forward", string(path)),
        None => {}
    }
    let (stripped, filters) = stripped(&spec.filters);
    if let Some(segments) = stripped {
        line("strip_prefix", segments.to_string());
    }
    if !filters.is_empty() {
        line("filters", list(filters.iter().map(one)));
    }
    if let Some(balance) = &spec.balance {
        line("balance", one(balance));
    }
    for (key, time) in [
        ("timeout", spec.timeout),
        ("connect_timeout", spec.connect_timeout),
        ("read_timeout", spec.read_timeout),
        ("tunnel_idle_timeout", spec.tunnel_idle_timeout),
    ] {
        if let Some(time) = time {
            line(key, format_duration(time));
        }
    }
    for (key, limit) in [
        ("slow_start", spec.slow_start),
        ("total_timeout", spec.total_timeout),
    ] {
        match limit {
            Some(Limit::Off) => line(key, "off".to_owned()),
            Some(Limit::After(time)) => line(key, format_duration(time)),
            None => {}
        }
    }
    if let Some(retries) = spec.retries.count {
        line("retries", retries.to_string());
    }
    if !spec.preserve_host {
        line("preserve_host", "false".to_owned());
    }
    match spec.encoded_slashes {
        EncodedSlashes::Reject => {}
        EncodedSlashes::Keep => line("encoded_slashes", "keep".to_owned()),
        EncodedSlashes::Decode => line("encoded_slashes", "decode".to_owned()),
    }
    if !spec.enabled {
        line("enabled", "false".to_owned());
    }
    if !spec.metadata.is_empty() {
        let pairs = spec.metadata.iter();
        line(
            "metadata",
            map(pairs.map(|(key, value)| (key.as_str(), string(value)))),
        );
    }
}

/// The path that the index looks up, and the conditions beside it.
fn conditions(spec: &RouteSpec) -> (String, Vec<&PartSpec>) {
    let mut path = "/**".to_owned();
    let mut rest = Vec::new();
    for part in &spec.predicates {
        match (part.name.as_str(), literal_prefix(part)) {
            ("Path", Some(prefix)) if path == "/**" => path = prefix,
            ("path", _) => path = text_of(&part.args).unwrap_or(path),
            _ => rest.push(part),
        }
    }
    (path, rest)
}

/// Of `Path=/api/users/**`: the pattern, which means the same in both forms.
fn literal_prefix(part: &PartSpec) -> Option<String> {
    let Value::Mapping(entries) = &part.args.value else {
        return None;
    };
    let [(key, pattern)] = entries.as_slice() else {
        return None;
    };
    let pattern = text_of(pattern)?;
    let literal = pattern.strip_suffix("/**")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    let mut segments = literal.split('/');
    // `/**` alone has an empty literal; any other begins with a slash.
    let is_normal = segments.next() == Some("")
        && literal.bytes().all(is_plain)
        && segments.all(|segment| !matches!(segment, "" | "." | ".."));
    (key.text.starts_with("_genkey_") && is_normal).then_some(pattern)
}

/// `StripPrefix` in the first place is the native key; the other filters stay.
fn stripped(filters: &[PartSpec]) -> (Option<u64>, &[PartSpec]) {
    let Some((first, rest)) = filters.split_first() else {
        return (None, filters);
    };
    let Value::Mapping(entries) = &first.args.value else {
        return (None, filters);
    };
    match (first.name.as_str(), entries.as_slice()) {
        ("StripPrefix", [(_, parts)]) => match text_of(parts).map(|text| text.parse()) {
            Some(Ok(segments)) if segments <= 64 => (Some(segments), rest),
            _ => (None, filters),
        },
        _ => (None, filters),
    }
}

fn text_of(node: &Node) -> Option<String> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar.text.clone()),
        _ => None,
    }
}

fn service(spec: &ServiceSpec) -> String {
    let texts = [
        ("name", Some(&spec.name)),
        ("nacos", spec.nacos.as_ref()),
        ("group", spec.group.as_ref()),
        ("namespace", spec.namespace.as_ref()),
        ("cluster", spec.cluster.as_ref()),
        ("tls", spec.tls.as_ref().map(|tls| &tls.id)),
    ];
    let mut pairs: Vec<(&str, String)> = texts
        .into_iter()
        .filter_map(|(key, value)| Some((key, string(value?))))
        .collect();
    if !spec.metadata.is_empty() {
        let metadata = spec.metadata.iter();
        let metadata = map(metadata.map(|(key, value)| (key.as_str(), string(value))));
        pairs.push(("metadata", metadata));
    }
    if let Some(protocol) = spec.protocol {
        let name = match protocol {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::H2c => "h2c",
            Protocol::H2 => "h2",
        };
        pairs.push(("protocol", name.to_owned()));
    }
    if let Some(spec) = &spec.canary {
        pairs.push(("canary", canary(spec)));
    }
    if let Some(spec) = &spec.health_check {
        pairs.push(("health_check", spec.text()));
    }
    if let Some(spec) = &spec.endpoint_limit {
        pairs.push(("endpoint_limit", spec.text()));
    }
    match pairs.as_slice() {
        [(_, name)] => name.clone(),
        _ => map(pairs.into_iter()),
    }
}

fn canary(spec: &CanarySpec) -> String {
    let (kind, name) = match &spec.place {
        RequestValue::Header(name) => ("header", name),
        RequestValue::Cookie(name) => ("cookie", name),
        RequestValue::Query(name) => ("query", name),
        RequestValue::Claim(name) => ("claim", name),
    };
    let fallback = match spec.fallback {
        CanaryFallback::Any => "any",
        CanaryFallback::Untagged => "untagged",
        CanaryFallback::Refuse => "refuse",
    };
    let usual = spec
        .usual
        .as_deref()
        .map(|value| ("default", string(value)));
    let propagate = spec.propagate.as_deref();
    let propagate = propagate.map(|name| ("propagate", string(name)));
    let pairs = [
        (kind, string(name)),
        ("metadata", string(&spec.metadata)),
        ("fallback", fallback.to_owned()),
    ];
    map(pairs.into_iter().chain(usual).chain(propagate))
}

/// A part under its name. Arguments that Spring numbers become a list.
fn one(part: &PartSpec) -> String {
    let args = match &part.args.value {
        Value::Null => return string(&part.name),
        Value::Mapping(entries)
            if !entries.is_empty()
                && entries
                    .iter()
                    .all(|(key, _)| key.text.starts_with("_genkey_")) =>
        {
            list(entries.iter().map(|(_, argument)| node(argument)))
        }
        _ => node(&part.args),
    };
    format!("{{ {}: {args} }}", string(&part.name))
}

fn node(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Scalar(scalar) => self::scalar(scalar),
        Value::Sequence(items) => list(items.iter().map(self::node)),
        Value::Mapping(entries) => {
            let entries = entries.iter();
            map(entries.map(|(key, value)| (key.text.as_str(), self::node(value))))
        }
    }
}

fn scalar(scalar: &Scalar) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    match !scalar.quoted && !scalar.text.is_empty() && scalar.text.bytes().all(is_plain) {
        // Whether it is a number, a word or a text is its reader's to say.
        true if !scalar.text.starts_with('-') => scalar.text.clone(),
        _ => string(&scalar.text),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    match items.is_empty() {
        true => "[]".to_owned(),
        false => format!("[ {} ]", items.join(", ")),
    }
}

fn map<'a>(pairs: impl Iterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs
        .map(|(key, value)| format!("{}: {value}", string(key)))
        .collect();
    match pairs.is_empty() {
        true => "{}".to_owned(),
        false => format!("{{ {} }}", pairs.join(", ")),
    }
}

/// A text, in quotes unless it is a plain word. JSON's escapes are YAML's too.
fn string(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.bytes().all(is_plain)
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
        );
    match is_word {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}
