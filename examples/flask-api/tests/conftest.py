"""A stand-in for the SDK's client, and the service in front of it."""

import threading
from typing import Any

import pytest

from flask_api.app import create_app
from flask_api.registry import UNKNOWN_INSTANCE, Registry
from flask_api.settings import Settings


class FakeNacos:
    """Remembers what is registered, as a server would, and fails on command."""

    def __init__(self) -> None:
        self.instances: dict[tuple[str, str, int], dict[str, Any]] = {}
        self.beats = 0
        self.beaten = threading.Event()
        self.down = False

    def add_naming_instance(self, **what: Any) -> bool:
        self._answer()
        self.instances[self._key(what)] = what
        return True

    def remove_naming_instance(self, **what: Any) -> bool:
        self._answer()
        self.instances.pop(self._key(what), None)
        return True

    def send_heartbeat(self, **what: Any) -> dict[str, Any]:
        self.beats += 1
        self.beaten.set()
        self._answer()
        return {"code": 10200 if self._key(what) in self.instances else UNKNOWN_INSTANCE}

    def list_naming_instance(self, name: str, **_: Any) -> dict[str, Any]:
        self._answer()
        return {"hosts": [{"ip": ip, "port": port} for n, ip, port in self.instances if n == name]}

    def _answer(self) -> None:
        if self.down:
            raise ConnectionError("refused")

    @staticmethod
    def _key(what: dict[str, Any]) -> tuple[str, str, int]:
        return what["service_name"], what["ip"], what["port"]


@pytest.fixture
def fake() -> FakeNacos:
    return FakeNacos()


@pytest.fixture
def settings() -> Settings:
    return Settings.from_environment(
        {"NACOS_SERVICE_IP": "10.0.0.9", "NACOS_HEARTBEAT_INTERVAL": "0.1"}
    )


@pytest.fixture
def registry(fake: FakeNacos, settings: Settings):
    registry = Registry(fake, settings)
    yield registry
    registry.stop()


@pytest.fixture
def client(settings: Settings, registry: Registry):
    return create_app(settings, registry).test_client()
