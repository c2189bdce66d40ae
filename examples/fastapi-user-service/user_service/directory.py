"""Other services, found by name in Nacos."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import nacos

from .nacos_client import call

log = logging.getLogger(__name__)

MAX_TRIES = 3


class NoInstance(Exception):
    """Nobody is registered under the name, or nobody that may be called."""


class Unreachable(Exception):
    """Every instance that was tried refused the connection or broke it."""


@dataclass(frozen=True)
class Instance:
    """An instance that may be called."""

    address: str
    weight: float


class Directory:
    """Finds instances, balances over them by weight, and calls them."""

    def __init__(
        self,
        client: nacos.NacosClient,
        group: str,
        http: httpx.AsyncClient,
        fresh_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A list is asked for again when it is older than `fresh_seconds`."""
        self._client = client
        self._group = group
        self._http = http
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._lists: dict[str, tuple[float, list[Instance]]] = {}
        self._asking = asyncio.Lock()

    async def get(self, service: str, path: str) -> httpx.Response:
        """Sends a GET to an instance of `service`, and to another one when it cannot be reached."""
        candidates = await self.instances(service)
        if not candidates:
            raise NoInstance(service)
        error: Exception | None = None
        for _ in range(min(MAX_TRIES, len(candidates))):
            weights = [instance.weight for instance in candidates]
            chosen = random.choices(candidates, weights)[0]
            try:
                return await self._http.get(f"http://{chosen.address}{path}")
            except httpx.TransportError as broken:
                error = broken
                candidates = [instance for instance in candidates if instance is not chosen]
        raise Unreachable(service) from error

    async def instances(self, service: str) -> list[Instance]:
        """The instances that may be called; while Nacos does not answer, the last ones known."""
        async with self._asking:
            asked, known = self._lists.get(service, (float("-inf"), []))
            if self._clock() - asked < self._fresh_seconds:
                return known
            try:
                answer = await call(
                    self._client.list_naming_instance, service, group_name=self._group
                )
                known = callable_instances(answer["hosts"])
            except Exception as error:  # the SDK raises whatever urllib does
                log.warning("instances of %s: %s; going on with %d", service, error, len(known))
            self._lists[service] = (self._clock(), known)
            return known


def callable_instances(hosts: list[dict]) -> list[Instance]:
    """Keeps what is enabled, healthy and has a weight."""
    return [
        Instance(f"{host['ip']}:{host['port']}", host["weight"])
        for host in hosts
        if host["enabled"] and host["healthy"] and host["weight"] > 0
    ]
