"""Fixtures of the interop suite. PAILOU_BIN and ORDER_SERVICE_BIN say what is tested."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.gateway import Gateway
from support.nacos import NacosServer
from support.service import Sample, Upstream, fastapi_sample, rust_sample


def binary(variable: str) -> Path:
    """A program under test, by the environment variable that names it."""
    path = os.environ.get(variable)
    if not path:
        pytest.fail(f"{variable} must name the program to test; `make interop` sets it")
    return Path(path).resolve()


@pytest.fixture(scope="session")
def nacos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NacosServer]:
    """One server for all cases; they keep apart by the names of their services and configs."""
    server = NacosServer(tmp_path_factory.mktemp("nacos"))
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.kill()


_numbers = itertools.count(1)


class World:
    """What one case starts; all of it ends with the case."""

    def __init__(self, nacos: NacosServer, folder: Path) -> None:
        self.nacos = nacos
        self._folder = folder
        self._number = next(_numbers)
        self._closing: list[Callable[[], None]] = []
        self.gateways: list[Gateway] = []
        self.routes = f"routes-{self._number}.yaml"
        """The data id that this case's gateways read."""

    def name(self, service: str) -> str:
        """A service name that no other case uses."""
        return f"{service}-{self._number}"

    def upstream(self, service: str, name: str, weight: float = 1.0) -> Upstream:
        """A running upstream that is not registered yet."""
        upstream = Upstream(self.nacos, self.name(service), name, weight)
        self._closing.append(upstream.close)
        return upstream

    def publish(self, document: str) -> None:
        self.nacos.publish(self.routes, document)

    def gateway(self) -> Gateway:
        folder = self._folder / f"gateway-{len(self.gateways)}"
        gateway = Gateway(binary("PAILOU_BIN"), self.nacos, self.routes, folder)
        self._closing.append(gateway.close)
        self.gateways.append(gateway)
        return gateway.wait_started()

    def fastapi(self, service: str, **env: str) -> Sample:
        log = self._folder / "fastapi.log"
        return self._started(fastapi_sample(self.nacos, self.name(service), log, **env), "/health")

    def rust(self, service: str) -> Sample:
        log = self._folder / "rust.log"
        program = binary("ORDER_SERVICE_BIN")
        sample = rust_sample(program, self.nacos, self.name(service), log)
        return self._started(sample, "/orders/1")

    def _started(self, sample: Sample, path: str) -> Sample:
        self._closing.append(sample.close)
        sample.wait_answering(path)
        return sample

    def close(self) -> None:
        while self._closing:
            self._closing.pop()()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Puts the gateways' logs below a failed case."""
    report = yield
    world = getattr(item, "funcargs", {}).get("world")
    if report.failed and isinstance(world, World):
        for gateway in world.gateways:
            report.sections.append(("the gateway's log", gateway.log()))
    return report


@pytest.fixture
def world(nacos: NacosServer, tmp_path: Path) -> Iterator[World]:
    nacos.ensure_running()
    world = World(nacos, tmp_path)
    yield world
    world.close()
