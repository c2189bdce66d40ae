"""The programs of benches/peers: what a proxy costs at least, and what none at all costs."""

from pathlib import Path

from .peer import Peer, Site


class Bare(Peer):
    """A program that cargo builds and that prints its own port."""

    cure = "make bench-load builds it"
    routes = False
    access_log = False
    program: str

    def found(self, binaries: Path) -> bool:
        return (binaries / self.program).exists()

    def prepare(self, site: Site) -> list[str | Path]:
        program = site.binaries / self.program
        return [program, site.origin, str(site.setup.workers), str(site.port)]


class BareHyper(Bare):
    """hyper's server and client on tokio's sockets."""

    name = "bare hyper"
    program = "bench-hyper"


class BarePingora(Bare):
    """pingora-proxy with no callback filled in."""

    name = "bare pingora"
    program = "bench-pingora"


class Direct(Bare):
    """The origin itself: the generator's own share of every figure."""

    name = "no proxy"
    program = "bench-origin"

    def prepare(self, site: Site) -> list[str | Path]:
        return [site.binaries / self.program, str(site.port)]
