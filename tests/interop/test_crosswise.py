"""Registered by one and seen by the others, published by one and heard by the others.

The clients are the Python SDKs 0.1.14 (HTTP) and 3.x (gRPC), the project's own (gRPC) as the
command line has it, plain HTTP, and the gateway.
"""

import pytest
from conftest import World
from support import eventually
from support.cli import Curl
from support.load import Load
from support.sdk import SdkError


def test_what_one_registers_all_others_see(world: World) -> None:
    old, new, own = world.sdk(0), world.sdk(3), world.cli()
    base = world.upstream("users", "by HTTP").register()
    service = base.service
    world.publish(f"routes: {{ /api/users/**: {service} }}")
    gateway = world.gateway().wait_ready()
    new.call("subscribe", service=service)
    old.call("subscribe", service=service)
    upstreams = {sdk: world.upstream("users", f"by {sdk.name}") for sdk in (old, new, own)}

    def all_see(*expected: int) -> None:
        ports = {base.port, *expected}
        for sdk in (old, new, own, Curl(world.nacos)):
            eventually(f"{sdk.name} to see {ports}", lambda sdk=sdk: sdk.ports(service) == ports)
        names = {upstream.name for upstream in upstreams.values() if upstream.port in ports}
        names.add(base.name)
        eventually("the gateway to see them", lambda: set(gateway.endpoints(service)) == ports)
        eventually(
            "all of them in the traffic",
            lambda: gateway.answering("/api/users/1", 4 * len(ports)) == names,
        )
        new.wait_event(service, lambda value: set(value[1:]) == ports)

    details = {"weight": 2.0, "metadata": {"version": "v2"}}
    registered: list[int] = []
    with Load(gateway.port, "/api/users/1") as load:
        for sdk, upstream in upstreams.items():
            if sdk is old and world.nacos.credentials:
                # It sends its credentials with some of its calls only. A beat is among them, and
                # registers what is unknown.
                with pytest.raises(SdkError, match="Insufficient privilege"):
                    sdk.register(service, upstream.port)
                sdk.call("keep_alive", service=service, port=upstream.port)
            else:
                sdk.register(service, upstream.port, **details)
            registered.append(upstream.port)
            all_see(*registered)
            if not (sdk is old and world.nacos.credentials):
                seen = gateway.endpoints(service)[upstream.port]
                assert seen["weight"] == 2.0, seen
                assert seen["metadata"].items() >= details["metadata"].items(), seen
        # It asks every half second, and tells of one instance at a time.
        added = ["ADDED", upstreams[own].port]
        old.wait_event(service, lambda value: value == added)

        for sdk, upstream in upstreams.items():
            registered.remove(upstream.port)
            if sdk is old and world.nacos.credentials:
                with pytest.raises(SdkError, match="Insufficient privilege"):
                    sdk.deregister(service, upstream.port)
                world.nacos.deregister(service, upstream.port)
            else:
                sdk.deregister(service, upstream.port)
            all_see(*registered)
        load.more(100)


def test_what_one_publishes_all_others_hear(world: World) -> None:
    old, new, own = world.sdk(0), world.sdk(3), world.cli()
    data_id = world.name("config")
    listening = [new, own]
    publishing = [new, own, Curl(world.nacos)]
    if world.nacos.credentials:
        # It sends its credentials with reads only.
        with pytest.raises(SdkError):
            old.publish(data_id, "from the old one")
    else:
        listening.append(old)
        publishing.append(old)
    for sdk in listening:
        sdk.watch(data_id)
    for number, sdk in enumerate(publishing):
        content = f"number {number}: 以 {sdk.name} 发布"
        sdk.publish(data_id, content)
        for listener in listening:
            listener.wait_content(data_id, content)
        for reader in (old, new, own, Curl(world.nacos)):
            eventually(f"{reader.name} to read it", lambda r=reader, c=content: r.get(data_id) == c)
    for number, sdk in enumerate(publishing):
        sdk.publish(data_id, f"again {number}")
        for listener in listening:
            listener.wait_content(data_id, f"again {number}")
        sdk.remove(data_id)
        for listener in listening:
            listener.wait_content(data_id, None)
        assert own.get(data_id) is None


def test_routes_that_any_client_publishes_take_effect(world: World) -> None:
    users = world.upstream("users", "one").register()
    old, new, own = world.sdk(0), world.sdk(3), world.cli()
    gateway = world.gateway()
    publishing = [own, new, Curl(world.nacos)]
    if not world.nacos.credentials:
        publishing.append(old)
    for number, sdk in enumerate(publishing):
        sdk.publish(world.routes, f"routes: {{ /of/{number}/**: {users.service} }}")
        gateway.wait_answer(f"/of/{number}/1")
