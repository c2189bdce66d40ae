"""The main job on a real Nacos server: services register, routes are published and changed live."""

from collections import Counter

import pytest
from conftest import World
from support import eventually, http
from support.load import Load


def test_a_registered_service_is_reached_through_a_published_route(world: World) -> None:
    one = world.upstream("users", "one").register()
    two = world.upstream("users", "two").register()
    world.publish(f"routes: {{ /api/users/**: {one.service} }}")
    gateway = world.gateway().wait_ready()
    answer = gateway.get("/api/users/1?x=1")
    assert answer.status == 200
    assert answer.json()["path"] == "/api/users/1?x=1"
    assert gateway.answering("/api/users/1", 4) == {one.name, two.name}
    assert gateway.get("/api/other").status == 404


def test_routes_that_are_published_after_the_start_arrive(world: World) -> None:
    users = world.upstream("users", "one").register()
    gateway = world.gateway()
    eventually("the gateway to be connected", lambda: gateway.is_connected())
    world.publish(f"routes: {{ /api/users/**: {users.service} }}")
    gateway.wait_ready().wait_answer("/api/users/1")


def test_a_changed_table_and_a_service_not_seen_before_take_over_without_a_failure(
    world: World,
) -> None:
    users = world.upstream("users", "old").register()
    newer = world.upstream("users-next", "new").register()
    world.publish(f"routes: {{ /api/users/**: {users.service} }}")
    gateway = world.gateway().wait_ready()
    with Load(gateway.port, "/api/users/1") as load:
        for turn in range(5):
            world.publish(f"routes: {{ /api/users/**: {newer.service}, /turn/{turn}: x }}")
            eventually("the new service", lambda: gateway.answering("/api/users/1", 4) == {"new"})
            world.publish(f"routes: {{ /api/users/**: {users.service}, /turn/{turn}: x }}")
            eventually("the old service", lambda: gateway.answering("/api/users/1", 4) == {"old"})
        load.more(100)


def test_an_instance_that_comes_and_one_that_leaves_show_in_the_traffic(world: World) -> None:
    one = world.upstream("users", "one").register()
    world.publish(f"routes: {{ /api/users/**: {one.service} }}")
    gateway = world.gateway().wait_ready()
    with Load(gateway.port, "/api/users/1") as load:
        two = world.upstream("users", "two").register()
        eventually("both", lambda: gateway.answering("/api/users/1", 8) == {"one", "two"})
        one.deregister()
        eventually("the one left", lambda: gateway.answering("/api/users/1", 8) == {"two"})
        one.die()
        load.more(100)
        two.deregister()


def test_an_instance_that_dies_under_load_is_noticed_by_nobody(world: World) -> None:
    one = world.upstream("users", "one").register()
    world.upstream("users", "two").register()
    world.publish(f"routes: {{ /api/users/**: {one.service} }}")
    gateway = world.gateway().wait_ready()
    eventually("both", lambda: gateway.answering("/api/users/1", 8) == {"one", "two"})
    with Load(gateway.port, "/api/users/1") as load:
        one.die()
        load.more(400)


def test_weights_and_disabling_follow_the_operator(world: World) -> None:
    light = world.upstream("users", "light", weight=1.0).register()
    heavy = world.upstream("users", "heavy", weight=3.0).register()
    world.publish(f"routes: {{ /api/users/**: {light.service} }}")
    gateway = world.gateway().wait_ready()

    counts = Counter(gateway.get("/api/users/1").json()["instance"] for _ in range(400))
    assert counts["light"] / counts.total() == pytest.approx(0.25, abs=0.01), counts

    world.nacos.edit(heavy.service, heavy.port, weight=3.0, enabled="false")
    eventually("the disabled one gone", lambda: gateway.answering("/api/users/1", 8) == {"light"})
    world.nacos.edit(heavy.service, heavy.port, weight=3.0, enabled="true")
    eventually("it back", lambda: gateway.answering("/api/users/1", 8) == {"light", "heavy"})


# Once for each server is enough of a case that takes 15 s.
@pytest.mark.only(auth=False)
def test_a_bad_document_changes_nothing_and_shows_in_the_console(world: World) -> None:
    users = world.upstream("users", "one").register()
    world.publish(f"routes: {{ /api/users/**: {users.service} }}")
    gateway = world.gateway().wait_ready()

    def own_metadata() -> dict:
        return world.nacos.instances(gateway.service)[0]["metadata"]

    eventually("the gateway in the console", lambda: world.nacos.instances(gateway.service))
    good = own_metadata()
    assert good["md5"]
    assert "error" not in good

    world.publish(f"routes: {{ /api/users/**: {{ service: {users.service}, strip_prefx: 1 }} }}")
    error = eventually("the error in the console", lambda: own_metadata().get("error"))
    assert "strip_prefx" in error
    assert own_metadata()["md5"] == good["md5"]
    assert gateway.get("/api/users/1").status == 200

    world.nacos.remove(world.routes)
    eventually(
        "the removal in the console",
        lambda: "strip_prefx" not in own_metadata().get("error", "strip_prefx"),
    )
    assert gateway.get("/api/users/1").status == 200

    world.publish(f"routes: {{ /api/users/**: {users.service}, /more/**: {users.service} }}")
    gateway.wait_answer("/more/1")
    eventually("the error gone", lambda: "error" not in own_metadata())


def test_a_gateway_that_is_stopped_leaves_nacos_first(world: World) -> None:
    users = world.upstream("users", "one").register()
    world.publish(f"routes: {{ /api/users/**: {users.service} }}")
    gateway = world.gateway().wait_ready()
    own = eventually("it in the console", lambda: world.nacos.instances(gateway.service))
    assert [(host["ip"], host["port"]) for host in own] == [("127.0.0.1", gateway.port)]
    assert gateway.terminate() == 0, gateway.log()
    eventually("its entry gone", lambda: not world.nacos.instances(gateway.service), within=2)


# The FastAPI sample registers with the SDK 0.1.14, which cannot where a login is asked for.
@pytest.mark.only(auth=False)
def test_both_samples_are_found_and_read_their_config(world: World) -> None:
    fastapi = world.fastapi("users", ORDER_SERVICE_NAME=world.name("orders"))
    world.rust("orders")
    world.publish(
        "routes:\n"
        f"  /api/users/**: {{ service: {world.name('users')}, strip_prefix: 1 }}\n"
        f"  /api/fastapi/**: {{ service: {world.name('users')}, strip_prefix: 2 }}\n"
        f"  /api/orders/**: {{ service: {world.name('orders')}, strip_prefix: 1 }}\n"
    )
    gateway = world.gateway().wait_ready()
    for path in ("/api/users/1", "/api/users/", "/api/orders/1", "/api/fastapi/orders/1"):
        gateway.wait_answer(path)
    metadata = world.nacos.instances(world.name("users"))[0]["metadata"]
    assert metadata["framework"] == "fastapi"

    world.nacos.publish("fastapi-user-service.json", '{"greeting": "hello"}')
    eventually(
        "the sample's new config",
        lambda: gateway.get("/api/fastapi/config").json()["values"] == {"greeting": "hello"},
    )
    world.nacos.remove("fastapi-user-service.json")
    eventually(
        "the sample's config gone",
        lambda: not gateway.get("/api/fastapi/config").json()["present"],
    )

    with Load(gateway.port, "/api/orders/1", "/api/fastapi/health") as load:
        second = world.fastapi("users")
        address = f"127.0.0.1:{second.port}"
        eventually("both", lambda: address in gateway.answering("/api/users/1", 4))
        fastapi.terminate()
        load.more(100)
        assert gateway.answering("/api/users/1", 4) == {address}


def test_a_rust_service_that_is_stopped_leaves_nacos_first(world: World) -> None:
    rust = world.rust("orders")
    eventually("it in the console", lambda: world.nacos.instances(world.name("orders")))
    rust.process.terminate()
    eventually("its entry gone", lambda: not world.nacos.instances(world.name("orders")))
    assert http.status(rust.url("/orders/1")) == 200, "it still answers while it drains"
    assert rust.process.wait(timeout=30) == 0
