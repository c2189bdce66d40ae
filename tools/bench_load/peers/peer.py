"""What the tool asks of a proxy."""

import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..certificate import Certificate
from ..options import PROTOCOLS, Setup
from ..process import Process


@dataclass(frozen=True)
class Site:
    """Where a proxy is to run, and with what."""

    # Its own; configurations and logs go here.
    folder: Path
    # host:port of the origin.
    origin: str
    # The port of 127.0.0.1 on which it is to take requests.
    port: int
    setup: Setup
    # What it shows to clients that speak TLS; None where they speak none.
    certificate: Certificate | None
    # Where cargo puts its programs.
    binaries: Path
    # Starts a process that is no part of the proxy, on the generator's cores.
    helper: Callable[[list], Process]

    def routes(self) -> list[str]:
        """A path prefix for each route; the one that is measured, /api/bench, is in the middle."""
        count = self.setup.routes
        names = [f"/api/service-{number:05}" for number in range(1, count)]
        names.insert(count // 2, "/api/bench")
        return names

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


class Peer(ABC):
    """A proxy.

    All are asked for the same: one origin, kept connections on both sides, forwarded fields and a
    request id where the proxy has them, bodies streamed, and no limit that a load could reach.
    """

    name: str
    # How it is installed: the registry's plain name.
    cure: str
    # Whether its configuration has a table of routes.
    routes = True
    # Whether it can write an access log.
    access_log = True
    # What it can be made to speak with clients.
    protocols: tuple[str, ...] = ("http",)
    # Load before the first round; a JVM compiles what is hot while it runs.
    warm_up_seconds = 1
    # What prints the version.
    version_command: tuple[str, ...] = ()

    @abstractmethod
    def found(self, binaries: Path) -> bool:
        """Whether it is installed."""

    @abstractmethod
    def prepare(self, site: Site) -> list[str | Path]:
        """Writes its configuration and gives the command that runs it in the foreground."""

    def env(self, site: Site) -> dict[str, str]:
        """Variables that it needs beside those of the tool."""
        return {}

    def refuses(self, setup: Setup) -> str | None:
        """Why it cannot be set up so."""
        if setup.routes > 1 and not self.routes:
            return "it has no routes"
        if setup.access_log and not self.access_log:
            return "it has no access log"
        if setup.protocol not in self.protocols:
            return f"it is not set up here for {PROTOCOLS[setup.protocol]}"
        return None

    def version(self) -> str:
        if not self.version_command:
            return ""
        done = subprocess.run(
            self.version_command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
        )
        match = re.search(r"\d+\.\d+(\.\d+)?", done.stdout)
        return match[0] if match else ""


class Installed(Peer):
    """A proxy that is on the PATH."""

    program: str

    def found(self, binaries: Path) -> bool:
        return shutil.which(self.program) is not None
