"""How long a change takes from the operator's request to the traffic, beside the server's delay.

What the server needs is what another client on the same server sees: the SDK 3.x, over gRPC too.
The figures in the README are printed by this case.
"""

import statistics
import time

import pytest
from conftest import World
from support import PATIENCE_SECONDS

ROUNDS = 8


def milliseconds(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ms (at most {max(seconds) * 1000:.0f})"


@pytest.mark.only(auth=False)
def test_publish_to_serving_and_register_to_traffic(world: World) -> None:
    users = world.upstream("users", "one").register()
    world.publish(f"routes: {{ /api/**: {users.service} }}")
    gateway = world.gateway().wait_ready()
    gateway.wait_answer("/api/1")
    sdk = world.sdk(3)
    sdk.call("subscribe", service=users.service)
    sdk.watch(world.routes)

    def serves(path: str, wanted: str | None) -> float:
        """When a request is first answered (by that instance), tried every few milliseconds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = gateway.get(path)
            at = time.monotonic()
            if answer.status == 200 and wanted in (None, answer.json()["instance"]):
                return at
            time.sleep(0.002)
        raise AssertionError(f"{path} is not served by {wanted}")

    published: list[float] = []
    heard: list[float] = []
    for turn in range(ROUNDS):
        document = f"routes: {{ /api/**: {users.service}, /turn/{turn}/**: {users.service} }}"
        began = time.monotonic()
        world.publish(document)
        published.append(serves(f"/turn/{turn}/1", None) - began)
        heard.append(sdk.wait_content(world.routes, document) - began)

    registered: list[float] = []
    seen: list[float] = []
    ports = {users.port}
    for turn in range(ROUNDS):
        newcomer = world.upstream("users", f"newcomer {turn}")
        began = time.monotonic()
        newcomer.register()
        registered.append(serves("/api/1", newcomer.name) - began)
        ports.add(newcomer.port)
        seen.append(sdk.wait_event(users.service, lambda value: set(value[1:]) == ports) - began)

    print(
        f"| {world.nacos.line} | {milliseconds(published)} | {milliseconds(heard)} "
        f"| {milliseconds(registered)} | {milliseconds(seen)} |"
    )
    # Generous: a slow machine is no failure. What must not be is a poll or a cache of seconds.
    assert statistics.median(published) - statistics.median(heard) < 1
    assert statistics.median(registered) - statistics.median(seen) < 1
