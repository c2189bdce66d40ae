//! What one setting alone cannot tell: settings that contradict each other, and the files of secrets.

use std::{
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{
    ProxyProtocol, Settings,
    nacos::NacosSettings,
    schema::{Origin, Reader},
    secret::Secret,
};

/// How far above its HTTP port a Nacos server listens for gRPC.
const GRPC_OFFSET: u16 = 1_000;
/// The most bytes of own metadata. Nacos refuses more than 1,024 in all, and the gateway's own keys need up to 400.
const MAX_METADATA_BYTES: usize = 400;
/// A secret's file is not read beyond this.
const MAX_SECRET_BYTES: u64 = 4_096;
/// Bytes of `limits.buffer_bytes` that a request's head cannot have.
const BESIDE_A_HEAD: usize = 64 << 10;
/// A shorter token can be guessed.
const MIN_TOKEN_BYTES: usize = 16;
/// Fills in what depends on other settings and reports what does not fit together.
pub(super) fn complete(mut settings: Settings, reader: &mut Reader<'_>) -> Settings {
    if settings.registration.group.is_empty() {
        settings
            .registration
            .group
            .clone_from(&settings.nacos.group);
    }
    settings.scg.resolve(reader.environment());
    snapshot(&mut settings, reader);
    check_nacos("nacos", &mut settings.nacos, reader);
    for (id, nacos) in &mut settings.other_nacos {
        let section = format!("other_nacos.{id}");
        if reader.origin(&format!("{section}.servers")) == Origin::Default {
            // Set nowhere, so that there is no place but the section's.
            reader.fault(
                &format!("{section}.servers"),
                "not set",
                Some("the servers of this Nacos"),
            );
        }
        check_nacos(&section, nacos, reader);
    }
    for (section, tls) in settings.all_upstream_tls() {
        tls.check(&section, reader);
    }
    settings.sentinel.check(reader);
    redis(&mut settings, reader);
    token(&mut settings, reader);
    addresses(&settings, reader);
    proxy_protocol(&mut settings, reader);
    sources(&settings, reader);
    metadata(&settings, reader);
    if settings.limits.buffer_bytes < settings.limits.header_bytes + BESIDE_A_HEAD {
        reader.fault(
            "limits.buffer_bytes",
            "too little for limits.header_bytes: a head is held whole",
            Some("64KiB more than limits.header_bytes, or a smaller head"),
        );
    }
    if settings.ejection.max_backoff < settings.ejection.backoff {
        let problem = "less than ejection.backoff";
        let cure = Some("as long or longer, or a shorter ejection.backoff");
        reader.fault("ejection.max_backoff", problem, cure);
    }
    if settings.ejection.outlier_max_backoff < settings.ejection.outlier_backoff {
        let problem = "less than ejection.outlier_backoff";
        let cure = Some("as long or longer, or a shorter ejection.outlier_backoff");
        reader.fault("ejection.outlier_max_backoff", problem, cure);
    }
    if settings.shutdown.deadline <= settings.shutdown.drain_delay {
        reader.fault(
            "shutdown.deadline",
            "not more than shutdown.drain_delay, so every request in flight would be cut",
            None,
        );
    }
    settings
}

/// The default path starts at the folder of `gateway.yaml`, as a path that is written there does.
fn snapshot(settings: &mut Settings, reader: &mut Reader<'_>) {
    if reader.origin("snapshot.path") == Origin::Default
        && let Some(path) = &mut settings.snapshot.path
    {
        *path = reader.base().join(&*path);
    }
}

/// Checks the settings of one Nacos, those in `section`.
fn check_nacos(section: &str, nacos: &mut NacosSettings, reader: &mut Reader<'_>) {
    credentials(section, nacos, reader);
    grpc_ports(section, nacos, reader);
    tls(section, nacos, reader);
    if nacos.servers.is_empty() {
        let path = format!("{section}.servers");
        reader.fault(&path, "no server", Some("at least one"));
    }
}

/// Settles where the password comes from, and reads its file.
fn credentials(section: &str, nacos: &mut NacosSettings, reader: &mut Reader<'_>) {
    let key = |key: &str| format!("{section}.{key}");
    let (user, password_key, file) = (key("username"), key("password"), key("password_file"));
    let password = (&*password_key, &mut nacos.password);
    if !secret(reader, password, (&file, &mut nacos.password_file)) {
        return;
    }
    let source = if nacos.password_file.is_some() {
        &file
    } else {
        &password_key
    };
    match (&nacos.username, &nacos.password) {
        (None, Some(_)) => reader.fault(source, "a password without a user", Some(&user)),
        (Some(_), None) => reader.fault(
            &user,
            "a user without a password",
            Some(&format!("{file} or {password_key}")),
        ),
        _ => {}
    }
}

/// Settles where the password of Redis comes from, and checks the rest.
fn redis(settings: &mut Settings, reader: &mut Reader<'_>) {
    let redis = &mut settings.redis;
    let password = ("redis.password", &mut redis.password);
    if secret(
        reader,
        password,
        ("redis.password_file", &mut redis.password_file),
    ) {
        redis.check(reader);
    }
}

/// Settles where the admin's token comes from, and reads its file.
fn token(settings: &mut Settings, reader: &mut Reader<'_>) {
    const TOKEN: &str = "admin.token";
    const FILE: &str = "admin.token_file";
    let admin = &mut settings.admin;
    if !secret(
        reader,
        (TOKEN, &mut admin.token),
        (FILE, &mut admin.token_file),
    ) {
        return;
    }
    let is_short = |token: &Secret| token.expose().len() < MIN_TOKEN_BYTES;
    if admin.token.as_ref().is_some_and(is_short) {
        let source = if admin.token_file.is_some() {
            FILE
        } else {
            TOKEN
        };
        let expected =
            format!("at least {MIN_TOKEN_BYTES} bytes, such as those of `openssl rand -hex 16`");
        reader.fault(source, "too short for a token", Some(&expected));
    }
}

/// Settles whether a secret stands in its own setting or in a file, where the environment wins over `gateway.yaml`, and
/// reads the file. False if that is a fault.
fn secret(
    reader: &mut Reader<'_>,
    (key, value): (&str, &mut Option<Secret>),
    (file_key, file): (&str, &mut Option<PathBuf>),
) -> bool {
    if value.is_some() && file.is_some() {
        let is_override = |origin: Origin| matches!(origin, Origin::Environment(_));
        match (
            is_override(reader.origin(key)),
            is_override(reader.origin(file_key)),
        ) {
            (true, false) => {
                *file = None;
                reader.unset(file_key);
            }
            (false, true) => {
                *value = None;
                reader.unset(key);
            }
            _ => reader.fault(file_key, format!("set beside {key}"), Some("one of them")),
        }
    }
    let Some(path) = file else { return true };
    match read_secret(path) {
        Ok(secret) => {
            *value = Some(secret);
            true
        }
        Err(problem) => {
            reader.fault(file_key, format!("{}: {problem}", path.display()), None);
            false
        }
    }
}

fn read_secret(path: &Path) -> Result<Secret, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(MAX_SECRET_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(format!(
            "longer than {MAX_SECRET_BYTES} bytes, so no secret"
        ));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        Err("empty".to_owned())
    } else {
        Ok(Secret::new(line))
    }
}

/// No two sockets on one address. Port 0 is another port each time.
fn addresses(settings: &Settings, reader: &mut Reader<'_>) {
    if settings.listeners.is_empty() {
        reader.fault("listeners", "no listener", Some("at least one"));
    }
    let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
    let listeners = settings
        .listeners
        .iter()
        .map(|listener| ("listeners", listener.address));
    let others = [
        ("admin.address", settings.admin.address),
        ("probes.address", settings.probes.address),
    ];
    for (path, address) in listeners.chain(
        others
            .into_iter()
            .filter_map(|(path, address)| Some((path, address?))),
    ) {
        if let Some((other, _)) = taken.iter().find(|(_, other)| overlap(*other, address)) {
            reader.fault(
                path,
                format!("{address} is taken by {other}"),
                Some("another port"),
            );
        }
        taken.push((path, address));
    }
}

/// Fills in whose PROXY headers are believed: somebody's, or the listener would take no connection.
fn proxy_protocol(settings: &mut Settings, reader: &mut Reader<'_>) {
    let trusted = &settings.forwarded.trusted_proxies;
    for listener in &mut settings.listeners {
        if listener.proxy_protocol == ProxyProtocol::Off {
            continue;
        }
        if listener.proxy_protocol_from.is_empty() {
            listener.proxy_protocol_from.clone_from(trusted);
        }
        if listener.proxy_protocol_from.is_empty() {
            reader.fault(
                "listeners",
                format!("nobody may send a PROXY header to {}", listener.address),
                Some("`proxy_protocol_from`, or forwarded.trusted_proxies"),
            );
        }
    }
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.port() != 0
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

/// What is set for TLS is used and can be read. What the files hold is looked at when a connection is made.
fn tls(section: &str, nacos: &NacosSettings, reader: &mut Reader<'_>) {
    let key = |key: &str| format!("{section}.{key}");
    let (ca, cert, own) = ("tls_ca_file", "tls_cert_file", "tls_key_file");
    let files = [
        (ca, &nacos.tls_ca_file),
        (cert, &nacos.tls_cert_file),
        (own, &nacos.tls_key_file),
    ];
    let is_used =
        nacos.grpc_tls == Some(true) || nacos.servers.iter().any(|server| server.is_https);
    let mut set: Vec<&str> = Vec::new();
    for (name, file) in files {
        let Some(path) = file else { continue };
        set.push(name);
        // A folder can be opened.
        if let Err(error) = std::fs::File::open(path).and_then(|mut file| file.read(&mut [0])) {
            let problem = format!("{}: cannot be read: {error}", path.display());
            reader.fault(&key(name), problem, None);
        }
    }
    for (one, other) in [(cert, own), (own, cert)] {
        if set.contains(&one) && !set.contains(&other) {
            reader.fault(&key(one), "half of a certificate", Some(&key(other)));
        }
    }
    if nacos.tls_server_name.is_some() {
        set.push("tls_server_name");
    }
    for name in set.into_iter().filter(|_| !is_used) {
        let expected = format!(
            "https:// in {} or {}: true",
            key("servers"),
            key("grpc_tls")
        );
        reader.fault(&key(name), "nothing is spoken over TLS", Some(&expected));
    }
}

fn grpc_ports(section: &str, nacos: &NacosSettings, reader: &mut Reader<'_>) {
    if nacos.grpc_port.is_some() {
        return;
    }
    for server in &nacos.servers {
        if server.port.checked_add(GRPC_OFFSET).is_none() {
            reader.fault(
                &format!("{section}.servers"),
                format!("{server}: no port is {GRPC_OFFSET} above this one"),
                Some(&format!("{section}.grpc_port to be set")),
            );
        }
    }
}

fn sources(settings: &Settings, reader: &mut Reader<'_>) {
    if settings.routes.is_empty() {
        reader.fault("routes", "no source of routes", Some("at least one"));
    }
    for (index, source) in settings.routes.iter().enumerate() {
        if settings.routes[..index]
            .iter()
            .any(|earlier| earlier.is_same_place(source))
        {
            reader.fault(
                "routes",
                format!("item {} is the same source as an earlier one", index + 1),
                None,
            );
        }
    }
}

fn metadata(settings: &Settings, reader: &mut Reader<'_>) {
    let bytes: usize = settings
        .registration
        .metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > MAX_METADATA_BYTES {
        reader.fault(
            "registration.metadata",
            format!("{bytes} bytes in all"),
            Some("at most 400, since Nacos bounds an instance's metadata"),
        );
    }
}
