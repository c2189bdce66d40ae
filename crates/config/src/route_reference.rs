//! The description of every key of a native route, from which the reference page is written.

/// A key of a native route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteKeyDoc {
    /// The key, such as `service.group`.
    pub path: &'static str,
    /// What may be written.
    pub value: &'static str,
    /// What it does, in Markdown.
    pub doc: &'static str,
}

const KEYS: &[(&str, &str, &str)] = &[
    (
        "path",
        "path pattern that begins with `/`",
        "The paths that the route takes, by whole segments: `/api/users/**` takes `/api/users` and everything below it. Left \
         out when the id is the path.",
    ),
    (
        "host",
        "host name, with `*.` in front for any name below it",
        "The host that the route takes. A route needs `path` or `host`; `path: /**` takes every path.",
    ),
    (
        "match",
        "mapping of predicates, or list of them",
        "Further conditions, all of which must hold: `methods`, `headers`, `query`, `cookies`, and those of Spring Cloud Gateway by \
         their own names. In a list a name may come twice.",
    ),
    (
        "order",
        "number, −2147483648 to 2147483647; 0",
        "Lower comes first, before all other rules of precedence.",
    ),
    (
        "service",
        "name, or mapping",
        "The service whose endpoints answer. A route has this or `to`, unless one of its `filters` answers by itself, such as `redirect`.",
    ),
    (
        "service.name",
        "name without spaces",
        "Its name in Nacos, without the group.",
    ),
    (
        "service.nacos",
        "id of a Nacos",
        "The Nacos that lists it: one of `other_nacos` in `gateway.yaml`; `nacos` unless given. Group and namespace are \
         then those of this Nacos unless given.",
    ),
    (
        "service.group",
        "name without spaces",
        "Its group; `nacos.group` unless given.",
    ),
    (
        "service.namespace",
        "id of a namespace",
        "Its namespace; `nacos.namespace` unless given. Empty or `public`: the public one.",
    ),
    (
        "service.cluster",
        "name without spaces",
        "Only endpoints with this cluster label.",
    ),
    (
        "service.metadata",
        "mapping of texts",
        "Only endpoints whose metadata has all of these.",
    ),
    (
        "service.protocol",
        "`http`, `https`, `h2c` or `grpc`, `h2` or `grpcs`",
        "What the gateway speaks with its endpoints. `http` and `https` are HTTP/1.1, the others HTTP/2; `https`, `h2` and `grpcs` are \
         over TLS. Unless given, the metadata of an endpoint decides (`protocol`, `secure: \"true\"`), and else it is HTTP/1.1 without TLS.",
    ),
    (
        "service.tls",
        "id of TLS settings",
        "The settings for TLS to them: one of `other_upstream_tls` in `gateway.yaml`; `upstream_tls` unless given. Implies \
         `protocol: https`.",
    ),
    (
        "service.canary",
        "mapping of `header`, `cookie`, `query` or `claim`, `metadata`, `default`, `fallback`, `propagate`",
        "Grey release: a request chooses among the endpoints. The value of its header, cookie or query parameter of that name, or of a \
         claim that the filter `jwt` of the route has found, is \
         compared with the `metadata` key of the endpoints; `default` is the value of requests that have none. Without such an endpoint, or without a value, `fallback` decides: \
         `untagged` (the default: endpoints without the key, any if there are none), `any`, or `refuse` (503 for a value that no \
         endpoint has). `propagate` names a request header that tells the endpoint the value.",
    ),
    (
        "service.health_check",
        "`tcp`, `grpc`, a path such as `/healthz`, or mapping",
        "Endpoints are asked whether they are well, beside what requests find out: a connection is enough (`tcp`), a GET is answered \
         with 2xx (a path), or `grpc.health.v1` says `SERVING` (`grpc`). More in [health checks](recipes/health-checks.md).",
    ),
    (
        "service.health_check.http",
        "path that begins with `/`",
        "The path, where `health_check` is a mapping. A mapping has one of `http`, `grpc` and `tcp`.",
    ),
    (
        "service.health_check.grpc",
        "name of a gRPC service, or an empty text",
        "The service that is asked for; empty for the server as a whole.",
    ),
    (
        "service.health_check.tcp",
        "`true`",
        "A connection is enough.",
    ),
    (
        "service.health_check.port",
        "number, 1 to 65535",
        "The port that is asked, where it is not the one that requests go to.",
    ),
    (
        "service.health_check.interval",
        "duration, 100ms to 1h; 5s",
        "From one question to the next, up to a tenth more or less.",
    ),
    (
        "service.health_check.timeout",
        "duration, 10ms to 1m; 1s",
        "How long an answer may take, the connection included.",
    ),
    (
        "service.health_check.unhealthy_after",
        "number, 1 to 100; 3",
        "So many failures in a row take an endpoint out.",
    ),
    (
        "service.health_check.healthy_after",
        "number, 1 to 100; 2",
        "So many good answers in a row bring it back.",
    ),
    (
        "service.endpoint_limit",
        "number, 1 to 1000000, or mapping",
        "So many requests each endpoint has at once, whichever routes they come by; a tunnel counts for as long as it is open. A full \
         endpoint is passed over. When all are full, 503 (`endpoints_full`), unless requests may wait. \
         More in [limits](recipes/limits.md).",
    ),
    (
        "service.endpoint_limit.requests",
        "number, 1 to 1000000",
        "The number, where `endpoint_limit` is a mapping.",
    ),
    (
        "service.endpoint_limit.queue",
        "number, 0 to 1000000; 0",
        "So many requests wait while all endpoints are full; who came first is first.",
    ),
    (
        "service.endpoint_limit.wait",
        "duration, 1ms to 1m; 1s",
        "How long a request waits at most.",
    ),
    (
        "service.proxy_protocol",
        "`off` or `v2`; `off`",
        "Whether each connection to its endpoints begins with a PROXY header (version 2) that says who the client is. Such a \
         connection serves the one client connection that it was made for.",
    ),
    (
        "to",
        "`http://host:port` or `https://host:port`, or mapping",
        "The URL that answers instead of a service. DNS gives the addresses of a host name, again every `discovery.dns_refresh`; they \
         are the endpoints. A path goes into `prefix`.",
    ),
    (
        "to.url",
        "`http://host:port` or `https://host:port`",
        "The URL, where `to` is a mapping.",
    ),
    (
        "to.tls",
        "id of TLS settings",
        "The settings for TLS to it: one of `other_upstream_tls` in `gateway.yaml`; `upstream_tls` unless given.",
    ),
    (
        "to.health_check",
        "as in `service.health_check`",
        "How its addresses are checked.",
    ),
    (
        "to.endpoint_limit",
        "as in `service.endpoint_limit`",
        "How many requests each of its addresses has at once.",
    ),
    (
        "forward",
        "path that begins with `/`",
        "The route that takes this path answers, with the filters of both routes. A request is forwarded three times at most.",
    ),
    (
        "preserve_host",
        "`true` or `false`; `true`",
        "Whether an endpoint gets the client's `Host`. If not, it gets its own name: the host that it registered, or its address, with its port.",
    ),
    (
        "encoded_slashes",
        "`reject`, `keep` or `decode`; `reject`",
        "What becomes of a path with `%2F`, which servers read in two ways. `reject`: the request gets 400. `keep`: it is a character \
         of its segment. `decode`: it is a separator, and the decoded path must lead to this route too.",
    ),
    (
        "balance",
        "policy name, or mapping of one name to its arguments",
        "How an endpoint is chosen: [policies](recipes/balancing.md). `defaults.balance` unless given.",
    ),
    (
        "slow_start",
        "`off`, or duration, 1s to 1h",
        "How long an endpoint that begins to take requests takes to its whole share; `defaults.slow_start` unless given.",
    ),
    (
        "strip_prefix",
        "number of segments",
        "How many leading segments are cut from the path before the request is forwarded.",
    ),
    (
        "prefix",
        "path that begins with `/`",
        "A path that is put in front of the path, after `strip_prefix`.",
    ),
    (
        "filters",
        "list of filters: a name, or a mapping of one name to its arguments",
        "The filters of the route, in this order, after `strip_prefix` and `prefix`.",
    ),
    (
        "timeout",
        "duration, 1ms to 24h",
        "The time until the head of the response, over all tries; `defaults.timeout` unless given.",
    ),
    (
        "connect_timeout",
        "duration, 1ms to 1m",
        "The time for one connection to an endpoint; `defaults.connect_timeout` unless given.",
    ),
    (
        "read_timeout",
        "duration, 1ms to 24h",
        "The time between two reads of a response; `defaults.read_timeout` unless given.",
    ),
    (
        "tunnel_idle_timeout",
        "duration, 1ms to 24h",
        "How long an upgraded connection may be silent both ways; `defaults.tunnel_idle_timeout` unless given.",
    ),
    (
        "total_timeout",
        "`off`, or duration, 1ms to 24h",
        "The time for the whole exchange; `defaults.total_timeout` unless given.",
    ),
    (
        "retries",
        "number, 0 to 10, or mapping",
        "How many more endpoints are tried; `defaults.retries` unless given. Refused connections do not count; 0 is a single try.",
    ),
    (
        "retries.count",
        "number, 0 to 10",
        "The number, where `retries` is a mapping.",
    ),
    (
        "retries.grpc_status",
        "list of `unavailable`, `resource_exhausted`",
        "A gRPC call that is answered with such a status and no message is tried again, if the whole request was kept \
         (`retry.buffer_bytes`). For methods that may run twice.",
    ),
    (
        "retries.statuses",
        "list of statuses from 400 to 599, `4xx`, `5xx`",
        "An answer with such a status is a failed try, while the request is at hand (`retry.buffer_bytes`) and another endpoint is left. One \
         with `Retry-After` is tried again after that time, or passed on if that is too late. The last answer is passed on.",
    ),
    (
        "retries.methods",
        "list of methods",
        "The methods of requests that may run twice; those that are idempotent (RFC 9110 section 9.2.2) unless given.",
    ),
    (
        "retries.try_timeout",
        "duration, 1ms to 24h",
        "How long one try may take for the headers of its answer, within `timeout`; then another endpoint is tried. Unless given, a try that \
         takes all of `timeout` is the last.",
    ),
    (
        "retries.hedge",
        "mapping of `after` and `max`; off",
        "Asks another endpoint too when one has not answered for `after` (1ms to 24h); the first answer counts, and the other try is given up. \
         At most `max` (1 to 3; 1) more are asked at once. For requests that may run twice (`retries.methods`) and whose body, if any, is at \
         hand (`retry.buffer_bytes`). Each hedge is one of the tries of `count`, goes to an endpoint that was not asked yet, and counts \
         against the retry budget.",
    ),
    (
        "enabled",
        "`true` or `false`; `true`",
        "A route that is not enabled is checked, but takes no request.",
    ),
    (
        "metadata",
        "mapping of texts",
        "Labels of your own, shown in the admin interface.",
    ),
];

/// Describes every key of a route in the native form.
pub fn route_reference() -> impl Iterator<Item = RouteKeyDoc> {
    KEYS.iter()
        .map(|&(path, value, doc)| RouteKeyDoc { path, value, doc })
}
