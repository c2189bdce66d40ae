"""The server goes and comes back while requests flow: no client notices."""

import time

import pytest
from conftest import World
from support import eventually
from support.load import Load

# The gateway serves the last good endpoints for this long after a reconnect, and must have the live
# ones by then.
HOLD_SECONDS = 30.0


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

        # And when the hold is over, nothing falls out that is alive.
        eventually(
            "the end of the hold",
            lambda: time.monotonic() - connected > HOLD_SECONDS + 2,
            within=HOLD_SECONDS + 10,
        )
        load.more(300)
        assert gateway.answering("/api/plain/1", 12) == {"one", "two", "three"}
