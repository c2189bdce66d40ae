"""Fixtures of the interop suite. PAILOU_BIN and ORDER_SERVICE_BIN say what is tested."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.cli import Cli
from support.embedded import EmbeddedRegistry
from support.gateway import Gateway
from support.nacos import Nacos2, Nacos3, Nacos3WithoutV1, Nacos3WithTls
from support.sdk import Sdk
from support.server import Line, PortTaken, Server
from support.service import Sample, Upstream, fastapi_sample, rust_sample

LINES = [
    Line(version, auth) for version in ("3.1.0", "2.3.1", "embedded") for auth in (False, True)
]
# For the one transport that is left then; with logins, since these have another path there too.
LINES.append(Line("3.1.0", auth=True, v1=False))
LINES.append(Line("3.1.0", auth=False, tls=True))


def binary(variable: str) -> Path:
    """A program under test, by the environment variable that names it."""
    path = os.environ.get(variable)
    if not path:
        pytest.fail(f"{variable} must name the program to test; `make interop` sets it")
    return Path(path).resolve()


def server_of(line: Line, home: Path) -> Server:
    match line.version:
        case "3.1.0":
            kind = Nacos3WithTls if line.tls else Nacos3 if line.v1 else Nacos3WithoutV1
            return kind(line, home)
        case "2.3.1":
            return Nacos2(line, home)
    return EmbeddedRegistry(line, home, binary("PAILOU_BIN"))


@pytest.fixture(scope="session", params=LINES, ids=str)
def nacos(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server at a time, for all cases that run on it; they keep apart by the names they use.

    Where several processes share the cases, each has a server of its own.
    """
    line: Line = request.param
    server = ready_server(line, tmp_path_factory)
    try:
        yield server
    finally:
        server.kill()


def ready_server(line: Line, folders: pytest.TempPathFactory, tries: int = 3) -> Server:
    """A server that answers. One that lost a port to somebody else makes way for the next."""
    server = server_of(line, folders.mktemp(f"nacos-{line}"))
    server.start()
    try:
        server.wait_ready()
        return server
    except BaseException as error:
        server.kill()
        if not isinstance(error, PortTaken) or tries == 1:
            raise
    return ready_server(line, folders, tries - 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what a mark says is not for a line: `only(auth=True)`, `only(real=True)`.

    A line without HTTP v1, or with TLS, has the cases only that ask for it: most use what it lacks.
    """
    kept, dropped = [], []
    for item in items:
        line: Line = item.callspec.params["nacos"]
        marks = [mark.kwargs for mark in item.iter_markers("only")]
        wanted = {name: value for mark in marks for name, value in mark.items()}
        wanted = {"v1": True, "tls": False} | wanted
        facts = {
            "auth": line.auth,
            "real": line.version != "embedded",
            "v1": line.v1,
            "tls": line.tls,
        }
        fits = all(facts[name] == value for name, value in wanted.items())
        (kept if fits else dropped).append(item)
    if dropped:
        items[0].config.hook.pytest_deselected(items=dropped)
        items[:] = kept


_numbers = itertools.count(1)


class World:
    """What one case starts; all of it ends with the case."""

    def __init__(self, nacos: Server, folder: Path) -> None:
        self.nacos = nacos
        self._folder = folder
        self._number = next(_numbers)
        self._closing: list[Callable[[], None]] = []
        self.gateways: list[Gateway] = []
        self.routes = self.name("routes") + ".yaml"
        """The data id that this case's gateways read."""

    def name(self, text: str) -> str:
        """A name that no other case uses."""
        return f"{text}-{self._number}"

    def upstream(self, service: str, name: str, **details: object) -> Upstream:
        """A running upstream that is not registered yet."""
        upstream = Upstream(self.nacos, self.name(service), name, **details)
        self._closing.append(upstream.close)
        return upstream

    def publish(self, document: str) -> None:
        self.nacos.publish(self.routes, document)

    def gateway(self, **settings: dict) -> Gateway:
        folder = self._folder / f"gateway-{len(self.gateways)}"
        program = binary("PAILOU_BIN")
        gateway = Gateway(program, self.nacos, self.routes, folder, **settings)
        self._closing.append(gateway.close)
        self.gateways.append(gateway)
        return gateway.wait_started()

    def sdk(self, major: int, namespace: str = "") -> Sdk:
        """A client of the Python SDK 0.1.14 or 3.x."""
        sdk = Sdk(self.nacos, major, self._folder, namespace)
        self._closing.append(sdk.close)
        return sdk

    def cli(self, namespace: str = "") -> Cli:
        """The project's own client, as the command line has it."""
        cli = Cli(binary("PAILOU_BIN"), self.nacos, self._folder, namespace)
        self._closing.append(cli.close)
        return cli

    def fastapi(self, service: str, **env: str) -> Sample:
        log = self._folder / "fastapi.log"
        return self._started(fastapi_sample(self.nacos, self.name(service), log, **env), "/health")

    def rust(self, service: str, **env: str) -> Sample:
        log = self._folder / "rust.log"
        program = binary("ORDER_SERVICE_BIN")
        sample = rust_sample(program, self.nacos, self.name(service), log, **env)
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
def world(nacos: Server, tmp_path: Path) -> Iterator[World]:
    nacos.ensure_running()
    world = World(nacos, tmp_path)
    yield world
    world.close()
