"""Where services and configs are: clusters, groups and namespaces, and the labels of instances."""

from conftest import World
from support import eventually


def test_a_route_picks_by_cluster_group_namespace_and_labels(world: World) -> None:
    team = world.name("team")
    if world.nacos.can_create_namespaces:
        world.nacos.create_namespace(team)
    # One name everywhere: what tells them apart is the place alone.
    east = world.upstream("users", "east", cluster="east").register()
    world.upstream("users", "west", cluster="west", metadata={"version": "v2"}).register()
    world.upstream("users", "group", group="other-group").register()
    world.upstream("users", "team", namespace=team).register()
    name = east.service
    world.publish(
        "routes:\n"
        f"  /east/**: {{ service: {{ name: {name}, cluster: east }} }}\n"
        f"  /new/**: {{ service: {{ name: {name}, metadata: {{ version: v2 }} }} }}\n"
        f"  /group/**: {{ service: {{ name: {name}, group: other-group }} }}\n"
        f"  /team/**: {{ service: {{ name: {name}, namespace: {team} }} }}\n"
        f"  /all/**: {name}\n"
    )
    gateway = world.gateway().wait_ready()
    expected = {
        "/east/1": {"east"},
        "/new/1": {"west"},
        "/group/1": {"group"},
        "/team/1": {"team"},
        "/all/1": {"east", "west"},
    }
    for path, names in expected.items():
        gateway.wait_answer(path)
        assert gateway.answering(path, 8) == names, path

    # The operator labels another one.
    labels = '{"version":"v2"}'
    world.nacos.edit(name, east.port, clusterName="east", metadata=labels, weight=1.0, enabled=True)
    eventually("both new", lambda: gateway.answering("/new/1", 8) == {"east", "west"})


def test_a_gateway_reads_and_registers_in_the_namespace_that_it_is_given(world: World) -> None:
    team = world.name("team")
    if world.nacos.can_create_namespaces:
        world.nacos.create_namespace(team)
    sdk = world.sdk(3, namespace=team)
    users = world.upstream("users", "one")
    sdk.register(users.service, users.port)
    world.upstream("users", "of the default namespace").register()
    sdk.publish(world.routes, f"routes: {{ /api/**: {users.service} }}")
    world.publish("routes: {}")
    gateway = world.gateway(nacos={"namespace": team}).wait_ready()
    gateway.wait_answer("/api/1")
    assert gateway.answering("/api/1", 6) == {"one"}
    entry = {"namespaceId": team}
    own = eventually("its entry", lambda: world.nacos.instances(gateway.service, **entry))
    assert own[0]["port"] == gateway.port
    assert not world.nacos.instances(gateway.service)


def test_the_namespace_public_is_the_default_one(world: World) -> None:
    users = world.upstream("users", "one").register()
    world.publish(f"routes: {{ /api/**: {users.service} }}")
    gateway = world.gateway(nacos={"namespace": "public"}).wait_ready()
    gateway.wait_answer("/api/1")


def test_an_ipv6_instance_gets_traffic_as_any_other(world: World) -> None:
    # Ephemeral, over gRPC: it is registered as long as the process that registered it runs.
    four = world.upstream("users", "four").register()
    six = world.upstream("users", "six", host="::1")
    world.publish(f"routes: {{ /api/**: {six.service} }}")
    gateway = world.gateway().wait_ready()
    cli = world.cli()
    cli.register(six.service, six.port, ip="::1")
    eventually("both", lambda: gateway.answering("/api/1", 6) == {"four", "six"})
    endpoint = gateway.endpoints(six.service)[six.port]
    assert endpoint["address"] == f"[::1]:{six.port}", endpoint
    assert endpoint["in"], endpoint
    four.deregister()
    eventually("the one of IPv6 alone", lambda: gateway.answering("/api/1", 6) == {"six"})
    cli.deregister(six.service, six.port)
    eventually("its end", lambda: not world.nacos.instances(six.service))
