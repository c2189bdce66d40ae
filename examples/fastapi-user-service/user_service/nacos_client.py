"""The Nacos SDK, set up so that it suits an asyncio service.

`nacos-sdk-python` 0.1.14 speaks the HTTP API of Nacos 1.x to 3.1. Each call of it blocks, for as
long as its time-out times the number of servers, so everything here runs it on a thread.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nacos
from nacos.params import group_key

from .settings import Settings

log = logging.getLogger(__name__)

# The SDK logs each request at INFO, the content of configs included, and each failure with a stack
# trace, although it also raises it. What matters is logged once, by the callers in this package.
logging.getLogger("nacos").setLevel(logging.CRITICAL)


def connect(settings: Settings, scratch: Path) -> nacos.NacosClient:
    """Makes a client. Nothing is sent yet, so this works while Nacos is down.

    `scratch` is for the SDK's log and its copies of configs, which would otherwise be written below
    the home and the working directory.
    """
    client = nacos.NacosClient(
        settings.nacos_servers, namespace=settings.namespace, logDir=str(scratch / "log")
    )
    client.set_options(
        snapshot_base=str(scratch / "snapshot"), failover_base=str(scratch / "failover")
    )
    return client


async def call(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Runs a blocking SDK call off the event loop."""
    return await asyncio.to_thread(method, *args, **kwargs)


class ConfigWatch:
    """Follows one Nacos config with the SDK's long poll, on one daemon thread.

    The SDK's own `add_config_watcher` starts that poll in a forked process, and a second one for a
    multiprocessing manager. Under a server that is a trap: a forked child inherits the signal
    handlers, so it survives SIGTERM and the parent waits for it at exit for ever; after a SIGKILL
    of the parent it goes on, and keeps a copy of the listening socket.
    """

    def __init__(self, client: nacos.NacosClient, data_id: str, group: str) -> None:
        self._client = client
        self._content: str | None = None
        self._changed_callback: Callable[[str | None], None] = lambda content: None
        # The SDK polls while this list is not empty.
        self._keys = [group_key(data_id, group, client.namespace)]

    def start(self, changed: Callable[[str | None], None]) -> None:
        """Begins to follow. `changed` gets each new content, None when the config was removed; it
        is called on the watching thread."""
        self._changed_callback = changed
        poll = self._client._do_pulling  # the SDK has no public name for it
        threading.Thread(target=poll, args=(self._keys, self), daemon=True, name="config").start()

    def stop(self) -> None:
        """Ends the watch with the poll that is under way; nothing is reported any more."""
        self._changed_callback = lambda content: None
        self._keys.clear()

    def put(self, update: tuple[str, str | None, str | None]) -> None:
        """Takes what the SDK puts into its queue: after every poll, failed ones included, the
        content that it knows. A failure therefore repeats the last content and is no change."""
        _, content, _ = update
        if content != self._content:
            self._content = content
            self._changed_callback(content)
