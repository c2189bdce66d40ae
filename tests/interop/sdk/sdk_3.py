"""nacos-sdk-python 3.x as a process; its argument names the server, as JSON."""

import asyncio
import json
import logging
import sys
import tempfile

import protocol
from v2.nacos import (
    ClientConfigBuilder,
    ConfigParam,
    DeregisterInstanceParam,
    NacosConfigService,
    NacosNamingService,
    RegisterInstanceParam,
    SubscribeServiceParam,
)
from v2.nacos.naming.model.naming_param import BatchRegisterInstanceParam, ListInstanceParam


class Sdk:
    @classmethod
    async def connect(cls, options: dict) -> "Sdk":
        scratch = tempfile.mkdtemp(prefix="nacos-sdk-3-")
        builder = (
            ClientConfigBuilder()
            .server_address(options["server"])
            .namespace_id(options["namespace"])
            .log_dir(f"{scratch}/log")
            .cache_dir(f"{scratch}/cache")
            .log_level(logging.ERROR)
        )
        if options["user"]:
            builder = builder.username(options["user"]).password(options["password"])
        config = builder.build()
        sdk = cls()
        sdk._subscriptions, sdk._watches = {}, {}
        sdk._naming = await NacosNamingService.create_naming_service(config)
        sdk._configs = await NacosConfigService.create_config_service(config)
        return sdk

    async def register(self, service: str, port: int, **more) -> bool:
        return await self._naming.register_instance(
            RegisterInstanceParam(
                service_name=service,
                group_name=more.get("group", "DEFAULT_GROUP"),
                ip="127.0.0.1",
                port=port,
                weight=more.get("weight", 1.0),
                metadata=more.get("metadata") or {},
                cluster_name=more.get("cluster", "DEFAULT"),
                ephemeral=more.get("ephemeral", True),
            )
        )

    async def register_all(self, service: str, ports: list[int]) -> bool:
        """Several instances of one service, which the server keeps for one connection."""
        instances = [
            RegisterInstanceParam(service_name=service, ip="127.0.0.1", port=port) for port in ports
        ]
        return await self._naming.batch_register_instances(
            BatchRegisterInstanceParam(service_name=service, instances=instances)
        )

    async def deregister(
        self, service: str, port: int, group: str = "DEFAULT_GROUP", ephemeral: bool = True
    ) -> bool:
        return await self._naming.deregister_instance(
            DeregisterInstanceParam(
                service_name=service,
                group_name=group,
                ip="127.0.0.1",
                port=port,
                cluster_name="DEFAULT",
                ephemeral=ephemeral,
            )
        )

    async def list(self, service: str, group: str = "DEFAULT_GROUP") -> list[dict]:
        found = await self._naming.list_instances(
            ListInstanceParam(
                service_name=service, group_name=group, subscribe=False, healthy_only=None
            )
        )
        return [instance.model_dump() for instance in found]

    async def subscribe(self, service: str) -> None:
        async def changed(instances) -> None:
            ports = [instance.port for instance in instances]
            protocol.event("service", service, ["CHANGED", *ports])

        self._subscriptions[service] = SubscribeServiceParam(
            service_name=service, subscribe_callback=changed
        )
        await self._naming.subscribe(self._subscriptions[service])

    async def unsubscribe(self, service: str) -> None:
        await self._naming.unsubscribe(self._subscriptions.pop(service))

    async def get(self, data_id: str, group: str = "DEFAULT_GROUP") -> str | None:
        return await self._configs.get_config(ConfigParam(data_id=data_id, group=group))

    async def publish(self, data_id: str, content: str, group: str = "DEFAULT_GROUP") -> bool:
        return await self._configs.publish_config(
            ConfigParam(data_id=data_id, group=group, content=content)
        )

    async def remove(self, data_id: str, group: str = "DEFAULT_GROUP") -> bool:
        return await self._configs.remove_config(ConfigParam(data_id=data_id, group=group))

    async def watch(self, data_id: str, group: str = "DEFAULT_GROUP") -> None:
        async def changed(tenant: str, group: str, data_id: str, content: str) -> None:
            protocol.event("config", data_id, content)

        self._watches[data_id] = changed
        await self._configs.add_listener(data_id, group, changed)

    async def unwatch(self, data_id: str, group: str = "DEFAULT_GROUP") -> None:
        await self._configs.remove_listener(data_id, group, self._watches.pop(data_id))


async def main() -> None:
    logging.disable(logging.CRITICAL)
    sdk = await Sdk.connect(json.loads(sys.argv[1]))
    requests = protocol.requests()
    # On a thread: a read that waits must not hold up what the SDK does.
    while request := await asyncio.to_thread(next, requests, None):
        try:
            result = await getattr(sdk, request["do"])(**request["with"])
            protocol.send({"id": request["id"], "result": result})
        except Exception as error:  # whatever it is, the case judges it
            protocol.send({"id": request["id"], "error": repr(error)})


if __name__ == "__main__":
    asyncio.run(main())
