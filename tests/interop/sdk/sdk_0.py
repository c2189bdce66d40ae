"""nacos-sdk-python 0.1.14 as a process; its argument names the server, as JSON."""

import json
import logging
import sys
import tempfile
import threading
import time

import nacos
import protocol
from nacos.listener import SubscribeListener

# The SDK sends no beats by itself.
BEAT_SECONDS = 2.0
POLL_SECONDS = 0.5
# Not its own 3 s: with a login the server hashes the password for each of its requests.
TIMEOUT_SECONDS = 20
# Not its own default, which is sent as the text "None".
CLUSTER = "DEFAULT"


class Sdk:
    def __init__(self, options: dict) -> None:
        scratch = tempfile.mkdtemp(prefix="nacos-sdk-0-")
        self._client = nacos.NacosClient(
            options["server"],
            namespace=options["namespace"],
            username=options["user"],
            password=options["password"],
            logDir=f"{scratch}/log",
        )
        self._client.set_options(no_snapshot=True, default_timeout=TIMEOUT_SECONDS)
        self._beating: dict[tuple, dict] = {}
        threading.Thread(target=self._beat, daemon=True).start()

    def register(self, service: str, port: int, **more) -> bool:
        details = {
            "weight": more.get("weight", 1.0),
            "metadata": more.get("metadata") or {},
            "cluster_name": more.get("cluster", CLUSTER),
        }
        group = more.get("group", "DEFAULT_GROUP")
        ephemeral = more.get("ephemeral", True)
        done = self._client.add_naming_instance(
            service, "127.0.0.1", port, group_name=group, ephemeral=ephemeral, **details
        )
        if ephemeral:
            self._beating[service, port, group] = details
        return done

    def stop_beats(self, service: str, port: int, group: str = "DEFAULT_GROUP") -> None:
        del self._beating[service, port, group]

    def keep_alive(self, service: str, port: int) -> int:
        """A full beat without a registration; the server's code."""
        answer = self._client.send_heartbeat(service, "127.0.0.1", port, cluster_name=CLUSTER)
        self._beating[service, port, "DEFAULT_GROUP"] = {"cluster_name": CLUSTER}
        return answer["code"]

    def deregister(
        self, service: str, port: int, group: str = "DEFAULT_GROUP", ephemeral: bool = True
    ) -> bool:
        details = self._beating.pop((service, port, group), {"cluster_name": CLUSTER})
        return self._client.remove_naming_instance(
            service,
            "127.0.0.1",
            port,
            cluster_name=details["cluster_name"],
            ephemeral=ephemeral,
            group_name=group,
        )

    def list(self, service: str, group: str = "DEFAULT_GROUP") -> list[dict]:
        return self._client.list_naming_instance(service, group_name=group)["hosts"]

    def subscribe(self, service: str) -> None:
        def changed(kind: str, local) -> None:
            protocol.event("service", service, [kind, local.instance["port"]])

        listener = SubscribeListener(fn=changed, listener_name=f"of {service}")
        self._client.subscribe(listener, POLL_SECONDS, service_name=service)

    def unsubscribe(self, service: str) -> None:
        self._client.unsubscribe(service)

    def get(self, data_id: str, group: str = "DEFAULT_GROUP") -> str | None:
        return self._client.get_config(data_id, group)

    def publish(self, data_id: str, content: str, group: str = "DEFAULT_GROUP") -> bool:
        return self._client.publish_config(data_id, group, content)

    def remove(self, data_id: str, group: str = "DEFAULT_GROUP") -> bool:
        return self._client.remove_config(data_id, group)

    def watch(self, data_id: str, group: str = "DEFAULT_GROUP") -> None:
        def changed(args: dict) -> None:
            protocol.event("config", data_id, args["content"])

        self._client.add_config_watcher(data_id, group, changed)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            for (service, port, group), details in list(self._beating.items()):
                try:
                    self._client.send_heartbeat(
                        service, "127.0.0.1", port, group_name=group, **details
                    )
                except Exception:  # the SDK raises whatever urllib does; the next beat tries again
                    continue


def main() -> None:
    logging.getLogger("nacos").setLevel(logging.CRITICAL)
    sdk = Sdk(json.loads(sys.argv[1]))
    for request in protocol.requests():
        try:
            result = getattr(sdk, request["do"])(**request["with"])
            protocol.send({"id": request["id"], "result": result})
        except Exception as error:  # whatever it is, the case judges it
            protocol.send({"id": request["id"], "error": repr(error)})


if __name__ == "__main__":
    main()
