"""Pailou, with its routes in a file and its endpoint in the embedded registry."""

import urllib.parse
import urllib.request
from pathlib import Path

from ..process import Failed, Process
from .peer import Peer, Site

SERVICE = "bench-service"

SETTINGS = """\
listeners: [ {{ address: 127.0.0.1:{port}{tls} }} ]
workers: {workers}
admin: {{ address: off }}
probes: {{ address: 127.0.0.1:0 }}
nacos: {{ servers: [ "127.0.0.1:{registry}" ] }}
routes: [ {{ file: ./routes.yaml }} ]
registration: {{ enabled: false }}
snapshot: {{ path: off }}
limits: {{ keepalive_requests: 1000000000, body_bytes: 1GiB }}
shutdown: {{ drain_delay: 0s }}
log: {{ access: {access}, format: json }}
"""


class Pailou(Peer):
    """Routing, balancing, metrics, request ids and forwarded fields are on, as in any gateway."""

    name = "pailou"
    cure = "make bench-load builds it"
    protocols = ("http", "https", "h2")

    def found(self, binaries: Path) -> bool:
        return (binaries / "pailou").exists()

    def prepare(self, site: Site) -> list[str | Path]:
        pailou = site.binaries / "pailou"
        registry = self._registry(site.helper([pailou, "registry", "--port=0"]))
        register(registry, site.origin)
        routes = "".join(f"  {route}/**: {SERVICE}\n" for route in site.routes())
        site.write("routes.yaml", f"routes:\n{routes}")
        settings = SETTINGS.format(
            port=site.port,
            tls=tls(site),
            workers=site.setup.workers,
            registry=registry,
            access=str(site.setup.access_log).lower(),
        )
        return [pailou, "run", "--config", site.write("gateway.yaml", settings)]

    def _registry(self, process: Process) -> int:
        """The registry's HTTP port, once it listens."""
        found: list[int] = []

        def printed() -> bool:
            text = process.output.read_text()
            _, _, rest = text.partition("http://127.0.0.1:")
            if "/nacos" in rest:
                found.append(int(rest.partition("/")[0]))
            return bool(found)

        process.wait_until("address", printed)
        return found[0]


def tls(site: Site) -> str:
    if site.certificate is None:
        return ""
    shown = site.certificate
    return f', tls: {{ certificates: [ {{ cert: "{shown.cert}", key: "{shown.key}" }} ] }}'


def register(registry: int, origin: str) -> None:
    """Lists the origin as a persistent instance, which needs no heartbeat."""
    ip, _, port = origin.rpartition(":")
    form = {"serviceName": SERVICE, "ip": ip, "port": port, "ephemeral": "false"}
    url = f"http://127.0.0.1:{registry}/nacos/v1/ns/instance"
    # No proxy that the environment may name: everything here is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, urllib.parse.urlencode(form).encode(), timeout=5).close()
    except OSError as error:
        raise Failed(f"the registry does not take the instance: {error}") from error
