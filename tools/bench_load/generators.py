"""Which generator sends a load: wrk speaks HTTP/1.1, h2load HTTP/2."""

from collections.abc import Iterable
from types import ModuleType

from . import h2load, wrk
from .process import Failed


def generator(protocol: str) -> ModuleType:
    return h2load if protocol == "h2" else wrk


def demand(protocols: Iterable[str]) -> None:
    """Fails unless what these protocols need is installed."""
    for protocol in protocols:
        module = generator(protocol)
        if not module.found():
            name = module.__name__.rpartition(".")[2]
            raise Failed(f"the load generator {name} is not there: {module.CURE}")
