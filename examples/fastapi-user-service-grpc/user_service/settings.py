"""Settings, all of them from environment variables."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_PORT = 8004


class SettingsError(ValueError):
    """A variable holds a value that cannot be used; the message names both."""


@dataclass(frozen=True)
class Settings:
    """What the service was told at start."""

    nacos_servers: str = "127.0.0.1:8848"
    """Nacos addresses, `host:port`, separated by commas. gRPC is at that port + 1000."""
    namespace: str = ""
    """Namespace id; empty is the public one."""
    group: str = "DEFAULT_GROUP"
    username: str | None = None
    password: str | None = None
    service_name: str = "fastapi-user-service-grpc"
    """The name that this service registers under."""
    service_ip: str = "127.0.0.1"
    """The address that callers are told."""
    service_port: int = DEFAULT_PORT
    """The port that callers are told."""
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
        return "fastapi-user-service-grpc.json"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Reads the settings; an unusable value is a `SettingsError`."""
        servers = with_ports(env.get("NACOS_SERVER_ADDR", cls.nacos_servers))
        port = port_from(env, "PORT", cls.port)
        # Kubernetes sets both of these where there is a service named nacos: the port is its own.
        is_kubernetes = "NACOS_SERVICE_HOST" in env
        namespace = env.get("NACOS_NAMESPACE", cls.namespace)
        return cls(
            nacos_servers=servers,
            namespace="" if namespace == "public" else namespace,
            group=env.get("NACOS_GROUP", cls.group),
            username=env.get("NACOS_USERNAME"),
            password=env.get("NACOS_PASSWORD"),
            service_name=env.get("NACOS_SERVICE_NAME", cls.service_name),
            service_ip=env.get("NACOS_SERVICE_IP") or own_address(servers),
            service_port=port if is_kubernetes else port_from(env, "NACOS_SERVICE_PORT", port),
            host=env.get("HOST", cls.host),
            port=port,
            drain_seconds=seconds_from(env, "DRAIN_SECONDS", cls.drain_seconds),
            environment=env.get("APP_ENV", cls.environment),
            order_service=env.get("ORDER_SERVICE_NAME", cls.order_service),
        )


def with_ports(text: str) -> str:
    """The form that the SDK reads: every address with its port, and no scheme."""
    addresses = [part.strip().rpartition("://")[2].rstrip("/") for part in text.split(",")]
    named = [address if ":" in address else f"{address}:8848" for address in addresses if address]
    if not named:
        raise SettingsError("NACOS_SERVER_ADDR names no server; give host:port[,host:port]")
    return ",".join(named)


def own_address(servers: str) -> str:
    """The local address from which the first Nacos server is reached; no packet is sent."""
    host, _, port = servers.split(",")[0].rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, int(port)))
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


def port_from(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if not text:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise SettingsError(f"{name}={text}: expected a port, 1 to 65535")
    return int(text)


def seconds_from(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 60:
        raise SettingsError(f"{name}={text}: expected seconds, 0 to 60")
    return seconds
