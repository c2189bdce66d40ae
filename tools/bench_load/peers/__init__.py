"""The proxies, in the order of the table. Each is one file here and one row of `ALL`."""

from .bare import BareHyper, BarePingora, Direct
from .caddy import Caddy
from .envoy import Envoy
from .haproxy import HAProxy
from .nginx import Nginx
from .pailou import Pailou
from .peer import Peer, Site
from .scg import SpringCloudGateway
from .sozu import Sozu

ALL: list[Peer] = [
    Direct(),
    Pailou(),
    BareHyper(),
    BarePingora(),
    Nginx(),
    HAProxy(),
    Sozu(),
    Envoy(),
    Caddy(),
    SpringCloudGateway(),
]

__all__ = ["ALL", "Peer", "Site"]
