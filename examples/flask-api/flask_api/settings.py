"""What the service reads from its environment."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass


class SettingsError(ValueError):
    """A variable has a value that cannot be used; the message names it and says what can."""


@dataclass(frozen=True)
class Settings:
    """The settings; `config.env` explains each."""

    nacos_servers: str
    namespace: str
    group: str
    service_name: str
    service_ip: str
    service_port: int
    heartbeat_seconds: float
    deregister_seconds: float

    @staticmethod
    def from_environment(environment: Mapping[str, str]) -> "Settings":
        """Reads the variables; one that is empty counts as unset.

        Raises SettingsError for the first value that cannot be used.
        """

        def text(name: str, default: str) -> str:
            return environment.get(name, "").strip() or default

        def number(name: str, default: str, low: float, high: float) -> float:
            given = text(name, default)
            try:
                value = float(given)
            except ValueError:
                value = float("nan")
            if not low <= value <= high:
                raise SettingsError(f"{name}={given}: expected a number from {low:g} to {high:g}")
            return value

        servers = text("NACOS_SERVER_ADDR", "127.0.0.1:8848")
        return Settings(
            nacos_servers=servers,
            namespace=text("NACOS_NAMESPACE", ""),
            group=text("NACOS_GROUP", "DEFAULT_GROUP"),
            service_name=text("NACOS_SERVICE_NAME", "flask-api"),
            service_ip=text("NACOS_SERVICE_IP", "") or way_to(servers),
            service_port=int(number("NACOS_SERVICE_PORT", "8003", 1, 65535)),
            # Nacos calls an instance unhealthy after 15 s of silence.
            heartbeat_seconds=number("NACOS_HEARTBEAT_INTERVAL", "5", 0.1, 10),
            deregister_seconds=number("NACOS_DEREGISTER_TIME", "2", 0, 60),
        )


def way_to(servers: str) -> str:
    """The local address of the way to the first server. Nothing is sent."""
    first = servers.split(",")[0].removeprefix("http://").split("/")[0]
    host, _, port = first.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, int(port or 8848)))
        except (OSError, ValueError):
            return "127.0.0.1"
        return str(probe.getsockname()[0])
