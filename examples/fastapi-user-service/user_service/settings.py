"""Settings, all of them from environment variables."""

import logging
import math
import socket
from collections.abc import Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

DEFAULT_PORT = 8001
# A Nacos server calls an instance unhealthy after 15 s without a beat.
MAX_HEARTBEAT_SECONDS = 10.0


class SettingsError(ValueError):
    """A variable holds a value that cannot be used; the message names both."""


@dataclass(frozen=True)
class Settings:
    """What the service was told at start."""

    nacos_servers: str = "127.0.0.1:8848"
    """Nacos addresses, `host:port`, separated by commas."""
    namespace: str = ""
    """Namespace id; empty is the public one."""
    group: str = "DEFAULT_GROUP"
    service_name: str = "fastapi-user-service"
    """The name that this service registers under."""
    service_ip: str = "127.0.0.1"
    """The address that callers are told."""
    service_port: int = DEFAULT_PORT
    """The port that callers are told."""
    heartbeat_seconds: float = 5.0
    host: str = "0.0.0.0"
    """The address that the service listens on."""
    port: int = DEFAULT_PORT
    """The port that the service listens on."""
    drain_seconds: float = 1.0
    """How long the service still answers after it left Nacos: callers hear of it a moment later."""
    environment: str = "dev"
    order_service: str = "order-service"
    """The name under which the order service is found."""

    @property
    def config_data_id(self) -> str:
        """The Nacos config that `/config` shows."""
        return "fastapi-user-service.json"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Reads the settings; an unusable value is a `SettingsError`."""
        servers = normalise_servers(env.get("NACOS_SERVER_ADDR", cls.nacos_servers))
        port = port_from(env, "PORT", cls.port)
        return cls(
            nacos_servers=servers,
            namespace=normalise_namespace(env.get("NACOS_NAMESPACE", cls.namespace)),
            group=env.get("NACOS_GROUP", cls.group),
            service_name=env.get("NACOS_SERVICE_NAME", cls.service_name),
            service_ip=env.get("NACOS_SERVICE_IP") or own_address(servers),
            service_port=advertised_port(env, port),
            heartbeat_seconds=seconds_from(
                env, "NACOS_HEARTBEAT_INTERVAL", cls.heartbeat_seconds, MAX_HEARTBEAT_SECONDS
            ),
            host=env.get("HOST", cls.host),
            port=port,
            drain_seconds=seconds_from(env, "DRAIN_SECONDS", cls.drain_seconds, 60.0),
            environment=env.get("APP_ENV", cls.environment),
            order_service=env.get("ORDER_SERVICE_NAME", cls.order_service),
        )


def advertised_port(env: Mapping[str, str], listening: int) -> int:
    """The port to register: `NACOS_SERVICE_PORT`, or else the one that the service listens on.

    Kubernetes puts `NACOS_SERVICE_HOST` and `NACOS_SERVICE_PORT` into every pod when there is a
    service named `nacos`: the port is then that of Nacos and not ours.
    """
    if "NACOS_SERVICE_HOST" in env and "NACOS_SERVICE_PORT" in env:
        log.warning("NACOS_SERVICE_PORT is ignored: Kubernetes set it for a service named nacos")
        return listening
    return port_from(env, "NACOS_SERVICE_PORT", listening)


def normalise_servers(text: str) -> str:
    """Gives every address the form that the SDK reads: an optional scheme, a host and a port."""
    addresses = []
    for part in text.split(","):
        address = part.strip().rstrip("/")
        if not address:
            continue
        scheme, separator, rest = address.rpartition("://")
        if ":" not in rest:
            rest += ":8848"
        addresses.append(scheme + separator + rest)
    if not addresses:
        raise SettingsError("NACOS_SERVER_ADDR names no server; give host:port[,host:port]")
    return ",".join(addresses)


def normalise_namespace(text: str) -> str:
    """`public` and the empty id are one namespace; the HTTP API takes the empty one everywhere."""
    return "" if text == "public" else text


def own_address(servers: str) -> str:
    """The local address from which the first Nacos server is reached; no packet is sent."""
    host, _, port = servers.split(",")[0].rpartition("://")[2].rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, int(port)))
        except OSError:
            log.warning("%s cannot be resolved, so 127.0.0.1 is advertised", host)
            return "127.0.0.1"
        return probe.getsockname()[0]


def port_from(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if not text:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise SettingsError(f"{name}={text}: expected a port, 1 to 65535")
    return int(text)


def seconds_from(env: Mapping[str, str], name: str, default: float, most: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= most:
        raise SettingsError(f"{name}={text}: expected seconds, more than 0 and at most {most:g}")
    return seconds
