"""The service's entry in Nacos: made, kept alive, and taken out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import nacos

from . import __version__
from .nacos_client import call
from .settings import Settings

log = logging.getLogger(__name__)

# The answer to a beat for an instance that the server does not know.
UNKNOWN_INSTANCE = 20404
# Not the SDK's default, which is sent as the text "None".
CLUSTER = "DEFAULT"


class Registration:
    """Keeps one instance registered for as long as it runs.

    The SDK sends no heartbeats by itself, and a server drops an instance 30 s after the last one.
    So a beat goes out on a fixed schedule; when it fails, or the server does not know the instance
    (it was restarted), the instance is registered again.
    """

    def __init__(
        self,
        client: nacos.NacosClient,
        settings: Settings,
        listening: Callable[[], Awaitable[None]],
    ) -> None:
        """`listening` returns once the service accepts connections: no caller may be sent to it
        earlier."""
        self._client = client
        self._settings = settings
        self._listening = listening
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.registered = False
        self.last_error: str | None = None

    def start(self) -> None:
        """Begins to register in the background; a Nacos that is down is tried again for ever."""
        self._task = asyncio.create_task(self._keep(), name="registration")

    async def stop(self) -> None:
        """Takes the instance out of Nacos. Harmless when called again."""
        self._stopping.set()
        task, self._task = self._task, None
        if task is None:
            return
        # A beat that arrives after the deregistration would bring the instance back, so the one
        # that is under way is waited for and not cancelled.
        await task
        if not self.registered:
            return
        self.registered = False
        try:
            await call(self._client.remove_naming_instance, **self._identity())
            log.info("deregistered %s", self._settings.service_name)
        except Exception as error:  # the SDK raises whatever urllib does
            log.warning("deregistration failed, the entry expires by itself: %s", error)

    async def _keep(self) -> None:
        await self._until_stopping(self._listening())
        clock = asyncio.get_running_loop().time
        due = clock()
        while not self._stopping.is_set():
            await self._beat_or_register()
            # A schedule and not a pause, so that slow answers do not stretch the period. What was
            # missed is not made up for.
            due = max(due + self._settings.heartbeat_seconds, clock())
            await self._until_stopping(asyncio.sleep(due - clock()))

    async def _beat_or_register(self) -> None:
        try:
            known = self.registered and await self._beat()
            if not known:
                await self._register()
        except Exception as error:  # the SDK raises whatever urllib does
            if self.last_error is None:
                log.warning("Nacos cannot be reached, trying again: %s", error)
            self.last_error = str(error)
        else:
            self.last_error = None

    async def _beat(self) -> bool:
        answer = await call(self._client.send_heartbeat, **self._identity(), **self._details())
        return answer.get("code") != UNKNOWN_INSTANCE

    async def _register(self) -> None:
        identity = self._identity()
        accepted = await call(self._client.add_naming_instance, **identity, **self._details())
        if not accepted:
            raise nacos.NacosException("the server did not accept the registration")
        self.registered = True
        log.info(
            "registered %s as %s:%s",
            self._settings.service_name,
            self._settings.service_ip,
            self._settings.service_port,
        )

    def _identity(self) -> dict[str, Any]:
        return {
            "service_name": self._settings.service_name,
            "ip": self._settings.service_ip,
            "port": self._settings.service_port,
            "cluster_name": CLUSTER,
            "group_name": self._settings.group,
        }

    def _details(self) -> dict[str, Any]:
        # A beat registers an instance that the server forgot, with what the beat says of it.
        return {
            "weight": 1.0,
            "metadata": {
                "version": __version__,
                "env": self._settings.environment,
                "framework": "fastapi",
            },
        }

    async def _until_stopping(self, awaitable: Awaitable[None]) -> None:
        """Waits for `awaitable`, but no longer than until the stop is asked for."""
        tasks = [asyncio.ensure_future(awaitable), asyncio.create_task(self._stopping.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
