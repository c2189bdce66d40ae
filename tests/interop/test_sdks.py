"""What else the two Python SDKs do, unmodified: namespaces, beats, persistent instances, endings.

Where a login is asked for, 0.1.14 writes and watches nothing: it sends its credentials with some
calls only.
"""

import time

import pytest
from conftest import World
from support import eventually
from support.load import Load

# Longer than a push or a poll of either takes.
SILENCE_SECONDS = 2.0


def test_each_sdk_keeps_to_its_namespace(world: World) -> None:
    team = world.name("team")
    if world.nacos.can_create_namespaces:
        world.nacos.create_namespace(team)
    service, data_id = world.name("users"), world.name("config")
    inside = {major: world.sdk(major, namespace=team) for major in (0, 3)}
    outside = {major: world.sdk(major) for major in (0, 3)}
    ports = {3: 7003} if world.nacos.credentials else {0: 7000, 3: 7003}
    for major, port in ports.items():
        inside[major].register(service, port)
    for major, sdk in inside.items():
        eventually(f"{major} to see", lambda s=sdk: s.ports(service) == set(ports.values()))
    assert world.nacos.ports(service, namespaceId=team) == set(ports.values())
    for sdk in outside.values():
        assert sdk.ports(service) == set()

    for major in ports:
        inside[major].watch(data_id)
    for major in ports:
        content = f"in the namespace, by {major}"
        inside[major].publish(data_id, content)
        for listener in ports:
            inside[listener].wait_content(data_id, content)
        for sdk in inside.values():
            eventually("it to be read", lambda s=sdk, c=content: s.get(data_id) == c)
    for sdk in outside.values():
        assert sdk.get(data_id) is None
    inside[3].remove(data_id)
    for listener in ports:
        inside[listener].wait_content(data_id, None)
    for major, port in ports.items():
        inside[major].deregister(service, port)
    # Not the new one: it takes an empty list for a fault and keeps the last instance for good.
    eventually("both gone", lambda: inside[0].ports(service) == set())


@pytest.mark.only(auth=False)
def test_an_instance_of_the_old_sdk_lives_by_its_beats(world: World) -> None:
    old = world.sdk(0)
    upstream = world.upstream("users", "one")
    # The server's own patience is 15 and 30 s.
    quick = {
        "preserved.heart.beat.interval": "1000",
        "preserved.heart.beat.timeout": "5000",
        "preserved.ip.delete.timeout": "12000",
    }
    old.register(upstream.service, upstream.port, metadata=quick)
    world.publish(f"routes: {{ /api/**: {upstream.service} }}")
    gateway = world.gateway().wait_ready()
    gateway.wait_answer("/api/1")
    until = time.monotonic() + 8
    while time.monotonic() < until:
        assert [host["healthy"] for host in world.nacos.instances(upstream.service)] == [True]
        time.sleep(0.2)
    old.call("stop_beats", service=upstream.service, port=upstream.port)

    def health() -> list[bool]:
        return [host["healthy"] for host in world.nacos.instances(upstream.service)]

    eventually("it doubted", lambda: health() == [False])
    eventually("it removed", lambda: health() == [])
    # A beat says everything of an instance, so it brings it back.
    old.call("keep_alive", service=upstream.service, port=upstream.port)
    eventually("it back", lambda: health() == [True])
    gateway.wait_answer("/api/1")


def test_persistent_instances_stay_when_their_client_goes(world: World) -> None:
    clients = [world.sdk(3)] if world.nacos.credentials else [world.sdk(0), world.sdk(3)]
    upstreams = [world.upstream("users", f"of {sdk.name}") for sdk in clients]
    service = upstreams[0].service
    for sdk, upstream in zip(clients, upstreams, strict=True):
        sdk.register(service, upstream.port, ephemeral=False)
    world.publish(f"routes: {{ /api/**: {service} }}")
    gateway = world.gateway().wait_ready()
    gateway.wait_answer("/api/1")
    names = {upstream.name for upstream in upstreams}
    eventually("all of them", lambda: gateway.answering("/api/1", 8) == names)
    with Load(gateway.port, "/api/1") as load:
        for sdk in clients:
            sdk.close()
        time.sleep(SILENCE_SECONDS)
        hosts = world.nacos.instances(service)
        assert {(host["port"], host["ephemeral"]) for host in hosts} == {
            (upstream.port, False) for upstream in upstreams
        }
        assert gateway.answering("/api/1", 8) == names
        load.more(50)
    # Another client removes what it did not register.
    another = world.sdk(3)
    for upstream in upstreams:
        another.deregister(service, upstream.port, ephemeral=False)
    eventually("none left", lambda: world.nacos.ports(service) == set())


def test_the_new_sdk_registers_several_instances_at_once(world: World) -> None:
    new, upstreams = world.sdk(3), [world.upstream("users", name) for name in ("one", "two")]
    service = upstreams[0].service
    ports = [upstream.port for upstream in upstreams]
    assert new.call("register_all", service=service, ports=ports)
    world.publish(f"routes: {{ /api/**: {service} }}")
    gateway = world.gateway().wait_ready()
    gateway.wait_answer("/api/1")
    eventually("both", lambda: gateway.answering("/api/1", 4) == {"one", "two"})
    assert new.ports(service) == set(ports)
    new.close()
    eventually("both gone with the connection", lambda: world.nacos.ports(service) == set())


def test_who_listens_no_more_is_told_no_more(world: World) -> None:
    new, data_id = world.sdk(3), world.name("config")
    users = world.upstream("users", "one").register()
    new.call("subscribe", service=users.service)
    new.wait_event(users.service, lambda value: set(value[1:]) == {users.port})
    new.watch(data_id)
    world.nacos.publish(data_id, "first")
    new.wait_content(data_id, "first")

    new.call("unsubscribe", service=users.service)
    new.call("unwatch", data_id=data_id)
    before = len(new.events(users.service)), len(new.events(data_id))
    world.upstream("users", "two").register()
    world.nacos.publish(data_id, "second")
    time.sleep(SILENCE_SECONDS)
    assert (len(new.events(users.service)), len(new.events(data_id))) == before
