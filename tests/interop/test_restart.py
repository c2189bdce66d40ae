"""The server goes and comes back while requests flow: no client notices."""

import time

import pytest
from conftest import World
from support import eventually, http
from support.gateway import Gateway
from support.load import Load


# The FastAPI sample registers with the SDK 0.1.14, which cannot where a login is asked for.
@pytest.mark.only(auth=False)
def test_the_server_killed_and_restarted_under_load_fails_no_request(world: World) -> None:
    # The three ways in which services register: plain HTTP with beats, the Python SDK, gRPC.
    one = world.upstream("plain", "one").register()
    world.upstream("plain", "two").register()
    world.fastapi("users")
    world.rust("orders")
    document = (
        "routes:\n"
        f"  /api/plain/**: {one.service}\n"
        f"  /api/users/**: {{ service: {world.name('users')}, strip_prefix: 1 }}\n"
        f"  /api/orders/**: {{ service: {world.name('orders')}, strip_prefix: 1 }}\n"
    )
    world.publish(document)
    gateway = world.gateway().wait_ready()
    paths = ("/api/plain/1", "/api/users/1", "/api/orders/1")
    for path in paths:
        gateway.wait_answer(path)
    eventually("the gateway in the console", lambda: world.nacos.instances(gateway.service))

    with Load(gateway.port, *paths) as load:
        world.nacos.kill()
        eventually("the gateway to notice", lambda: not gateway.is_connected())
        load.more(300)
        load.assert_clean()

        restarted = time.monotonic()
        world.nacos.start()
        world.nacos.wait_ready()
        if not world.nacos.keeps_its_data:
            world.publish(document)
        eventually("the gateway to be connected again", lambda: gateway.is_connected())
        connected = time.monotonic()
        services = [one.service, world.name("users"), world.name("orders"), gateway.service]
        expected = [2, 1, 1, 1]
        eventually(
            "everybody to be registered again",
            lambda: [len(world.nacos.instances(name)) for name in services] == expected,
        )
        registered = time.monotonic()
        print(
            f"restart: connected {connected - restarted:.1f} s and everybody registered "
            f"{registered - restarted:.1f} s after the start"
        )
        load.assert_clean()

        # What is published and registered now arrives as before.
        world.publish(document + f"  /healed/**: {one.service}\n")
        gateway.wait_answer("/healed/1")
        world.upstream("plain", "three").register()
        eventually("the newcomer", lambda: "three" in gateway.answering("/api/plain/1", 8))
        load.more(100)


# Where a login is asked for the gateway has to get one from the new server first, which refuses
# every user for its first seconds.
@pytest.mark.only(auth=True)
def test_services_that_come_back_one_by_one_are_held_until_they_do(world: World) -> None:
    one = world.upstream("users", "one").register()
    two = world.upstream("users", "two").register()
    gone = world.upstream("gone", "gone").register()
    moved = world.upstream("moved", "moved").register()
    taker = world.upstream("taker", "taker").register()
    upstreams = (one, two, gone, moved, taker)
    document = "routes:\n" + "".join(
        f"  /{path}/**: {upstream.service}\n"
        for path, upstream in (("users", one), ("gone", gone), ("moved", moved), ("taker", taker))
    )
    world.publish(document)
    gateway = world.gateway().wait_ready()
    for path in ("/users/1", "/gone/1", "/moved/1", "/taker/1"):
        gateway.wait_answer(path)
    eventually("both", lambda: gateway.answering("/users/1", 4) == {"one", "two"})

    with Load(gateway.port, "/users/1") as load:
        for upstream in upstreams:
            upstream.pause()
        world.nacos.kill()
        eventually("the gateway to notice", lambda: not gateway.is_connected())
        world.nacos.start()
        world.nacos.wait_ready()
        if not world.nacos.keeps_its_data:
            world.publish(document)
        eventually("the gateway to be connected again", gateway.is_connected)
        # The new server knows none of them. All of them are served.
        assert not world.nacos.instances(one.service)
        eventually("both held", lambda: len(held(gateway, one.service)) == 2)
        eventually("both served", lambda: gateway.answering("/users/1", 4) == {"one", "two"})

        # One is back, and the other is held beside it.
        one.resume()
        eventually("the first one live", lambda: held(gateway, one.service) == {two.port})
        eventually("both served", lambda: gateway.answering("/users/1", 4) == {"one", "two"})
        # A held one that dies is out with its first refusal.
        two.die()
        load.more(40)
        eventually("the dead one out", lambda: gateway.answering("/users/1", 4) == {"one"})

        # What is listed for another service now is nobody's held endpoint.
        taker.resume()
        world.nacos.register(taker.service, moved.port)
        eventually("the moved one let go of", lambda: not held(gateway, moved.service))
        assert http.status(gateway.url("/moved/1")) == 503
        assert http.status(gateway.url("/gone/1")) == 200

        # A service that was scaled to zero is gone with its hold, and not before.
        assert held(gateway, gone.service)
        gateway.wait_answer("/gone/1", 503)
        assert gateway.answering("/users/1", 4) == {"one"}
        gateway.wait_answer("/taker/1")
        load.more(40)


def held(gateway: Gateway, service: str) -> set[int]:
    """The ports of a service that are in use although the server does not list them."""
    endpoints = gateway.endpoints(service).items()
    return {port for port, endpoint in endpoints if "held" in endpoint["reasons"]}
