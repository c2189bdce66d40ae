"""The service's side of Nacos: its entry, its config, and the services that it calls.

`nacos-sdk-python` 3.x speaks gRPC. The connection is the heartbeat: the entry lives as long as it,
and the SDK registers again when it had to connect anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from v2.nacos import (
    ClientConfigBuilder,
    ConfigParam,
    DeregisterInstanceParam,
    ListInstanceParam,
    NacosConfigService,
    NacosNamingService,
    RegisterInstanceParam,
)

from . import __version__
from .live_config import LiveConfig
from .settings import Settings

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class NacosLink:
    """Connects in the background, so that the service starts and serves while Nacos is down."""

    def __init__(
        self,
        settings: Settings,
        config: LiveConfig,
        scratch: Path,
        listening: Callable[[], Awaitable[None]],
    ) -> None:
        """`listening` returns once the service accepts connections: no caller may be sent to it
        earlier. `scratch` is for the SDK's log and its copies, which would be below the home."""
        self._settings = settings
        self._config = config
        self._scratch = scratch
        self._listening = listening
        self._task: asyncio.Task[None] | None = None
        self._naming: NacosNamingService | None = None
        self._configs: NacosConfigService | None = None
        self.registered = False
        self.last_error: str | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._connect(), name="nacos")

    async def stop(self) -> None:
        """Takes the entry out and closes both connections. Harmless when called again."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self.registered:
            self.registered = False
            try:
                await self._naming.deregister_instance(
                    DeregisterInstanceParam(
                        service_name=self._settings.service_name,
                        group_name=self._settings.group,
                        ip=self._settings.service_ip,
                        port=self._settings.service_port,
                    )
                )
                log.info("deregistered %s", self._settings.service_name)
            except Exception as error:  # the SDK raises many kinds
                log.warning("deregistration failed, the entry goes with the connection: %s", error)

    async def close(self) -> None:
        for service in (self._naming, self._configs):
            if service is not None:
                await service.shutdown()

    async def addresses(self, service: str) -> list[str]:
        """Where a service may be called; none while Nacos has never been reached."""
        if self._naming is None:
            return []
        # From what the server has pushed. When the last instance leaves, the SDK keeps it for good:
        # it takes an empty list for a fault of the server.
        found = await self._naming.list_instances(
            ListInstanceParam(
                service_name=service,
                group_name=self._settings.group,
                subscribe=True,
                healthy_only=True,
            )
        )
        return [f"{it.ip}:{it.port}" for it in found if it.enabled and it.healthy and it.weight > 0]

    async def _connect(self) -> None:
        await self._listening()
        while True:
            try:
                await self._connect_once()
            except Exception as error:  # the SDK raises many kinds
                if self.last_error is None:
                    log.warning("Nacos cannot be reached, trying again: %s", error)
                self.last_error = str(error) or repr(error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.last_error = None
                return

    async def _connect_once(self) -> None:
        settings = self._settings
        if self._naming is None:
            self._naming = await NacosNamingService.create_naming_service(self._client_config())
        if not self.registered:
            await self._naming.register_instance(
                RegisterInstanceParam(
                    service_name=settings.service_name,
                    group_name=settings.group,
                    ip=settings.service_ip,
                    port=settings.service_port,
                    weight=1.0,
                    cluster_name="DEFAULT",
                    metadata={
                        "version": __version__,
                        "env": settings.environment,
                        "framework": "fastapi",
                    },
                )
            )
            self.registered = True
            log.info("registered %s", settings.service_name)
        if self._configs is None:
            self._configs = await NacosConfigService.create_config_service(self._client_config())
        where = ConfigParam(data_id=settings.config_data_id, group=settings.group)
        self._config.changed(await self._configs.get_config(where))
        await self._configs.add_listener(settings.config_data_id, settings.group, self._changed)

    async def _changed(self, tenant: str, group: str, data_id: str, content: str) -> None:
        self._config.changed(content)

    def _client_config(self):
        settings = self._settings
        builder = (
            ClientConfigBuilder()
            .server_address(settings.nacos_servers)
            .namespace_id(settings.namespace)
            .log_dir(str(self._scratch / "log"))
            .cache_dir(str(self._scratch / "cache"))
            .log_level(logging.ERROR)
        )
        if settings.username and settings.password:
            builder = builder.username(settings.username).password(settings.password)
        return builder.build()
