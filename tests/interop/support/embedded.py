"""The registry inside the gateway's binary, which is held to the same cases."""

from pathlib import Path

from .nacos import free_base_port
from .server import Line, Server


class EmbeddedRegistry(Server):
    """`pailou registry`. It keeps nothing, and knows one user."""

    keeps_its_data = False

    def __init__(self, line: Line, home: Path, binary: Path) -> None:
        super().__init__(line, free_base_port(), home)
        self._binary = binary

    def _command(self) -> list[str | Path]:
        auth = ["--auth"] if self.line.auth else []
        return [self._binary, "registry", f"--port={self.port}", *auth]

    def _readiness(self) -> str:
        return "v3/admin/core/state/readiness"
