"""The same job where Nacos's gRPC port cannot be reached: over HTTP, by polls and beats."""

import pytest
from conftest import World
from support import eventually, free_port
from support.load import Load


# Once for each server is enough of a case that waits for polls; the one for HTTP v3 has logins.
@pytest.mark.only(auth=False)
def test_a_gateway_without_grpc_does_its_job_over_http_v1(world: World) -> None:
    serves_over(world, "http_v1")


@pytest.mark.only(v1=False)
def test_a_gateway_with_neither_grpc_nor_http_v1_does_its_job_over_http_v3(world: World) -> None:
    serves_over(world, "http_v3")


def serves_over(world: World, transport: str) -> None:
    one = world.upstream("users", "one").register()
    world.publish(f"routes: {{ /api/users/**: {one.service} }}")
    # Nobody listens there, as behind a firewall that rejects.
    gateway = world.gateway(nacos={"grpc_port": free_port()}).wait_ready()
    gateway.wait_answer("/api/users/1")
    connection = gateway.sessions()[0]["connection"]
    assert connection["transport"] == transport, connection
    own = eventually("it in the console", lambda: world.nacos.instances(gateway.service))
    assert [host["port"] for host in own] == [gateway.port]

    with Load(gateway.port, "/api/users/1") as load:
        world.publish(f"routes: {{ /api/users/**: {one.service}, /more/**: {one.service} }}")
        gateway.wait_answer("/more/1")
        # In another cluster, which HTTP v3 lists when it is asked to and not before.
        two = world.upstream("users", "two", cluster="east").register()
        eventually("both", lambda: gateway.answering("/api/users/1", 8) == {"one", "two"})
        one.deregister()
        eventually("the one left", lambda: gateway.answering("/api/users/1", 8) == {"two"})
        one.die()
        load.more(100)
        two.deregister()

    assert gateway.terminate() == 0, gateway.log()
    eventually("its entry gone", lambda: not world.nacos.instances(gateway.service), within=10)
