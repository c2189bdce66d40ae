"""The service's entry in Nacos, from start to stop."""

from collections.abc import Callable

import httpx
import pytest

from .conftest import Service, eventually
from .fake_nacos import FakeNacos

NAME = "fastapi-user-service"


def test_it_registers_with_its_cluster_and_metadata(service: Service, nacos: FakeNacos) -> None:
    host = eventually(lambda: nacos.instances(NAME), "registered")[0]
    assert (host["ip"], host["port"]) == ("127.0.0.1", service.port)
    assert host["clusterName"] == "DEFAULT"
    assert host["metadata"] == {"version": "1.0.0", "env": "dev", "framework": "fastapi"}


def test_name_group_and_address_come_from_the_environment(
    start: Callable[..., Service], nacos: FakeNacos
) -> None:
    start(
        NACOS_SERVICE_NAME="people",
        NACOS_GROUP="TEAM_A",
        NACOS_NAMESPACE="staging",
        NACOS_SERVICE_IP="127.0.0.9",
        NACOS_SERVICE_PORT="9999",
        APP_ENV="test",
    )
    host = eventually(lambda: nacos.instances("people"), "registered")[0]
    assert (host["ip"], host["port"]) == ("127.0.0.9", 9999)
    assert host["metadata"]["env"] == "test"
    form = nacos.state.registrations[0]
    assert (form["groupName"], form["namespaceId"]) == ("TEAM_A", "staging")


def test_heartbeats_go_out_on_a_schedule(service: Service, nacos: FakeNacos) -> None:
    eventually(lambda: len(nacos.state.beats) >= 5, "five beats")
    beat = nacos.state.beats[-1]
    assert beat["port"] == service.port
    # A beat can bring the instance back, so it must say as much of it as the registration did.
    assert beat["cluster"] == "DEFAULT"
    assert beat["metadata"]["framework"] == "fastapi"


@pytest.mark.parametrize("beats_register", [True, False])
def test_it_comes_back_after_the_server_forgot_it(
    service: Service, nacos: FakeNacos, beats_register: bool
) -> None:
    eventually(lambda: nacos.instances(NAME), "registered")
    nacos.state.beats_register = beats_register
    nacos.forget_instances()
    host = eventually(lambda: nacos.instances(NAME), "registered again")[0]
    assert host["metadata"]["framework"] == "fastapi"
    assert len(nacos.state.registrations) == (1 if beats_register else 2)


def test_it_serves_while_nacos_is_down_and_registers_later(
    start: Callable[..., Service], nacos: FakeNacos
) -> None:
    nacos.stop()
    service = start()
    assert service.json("/users/1")["name"] == "Lin Huiyin"
    down = eventually(lambda: service.json("/health")["nacos"]["error"], "the failure is shown")
    assert "not available" in down
    nacos.start()
    eventually(lambda: nacos.instances(NAME), "registered")
    eventually(lambda: service.json("/health")["nacos"]["registered"], "shown as registered")
    assert service.json("/health")["nacos"]["error"] is None


def test_it_survives_an_outage_of_nacos(service: Service, nacos: FakeNacos) -> None:
    eventually(lambda: nacos.instances(NAME), "registered")
    nacos.stop()
    nacos.forget_instances()
    eventually(lambda: service.json("/health")["nacos"]["error"], "the failure is shown")
    assert service.http.get("/users/1").status_code == 200
    nacos.start()
    eventually(lambda: nacos.instances(NAME), "registered again")


def test_on_sigterm_it_leaves_nacos_first_and_then_closes(
    start: Callable[..., Service], nacos: FakeNacos
) -> None:
    service = start(DRAIN_SECONDS="1.5")
    eventually(lambda: nacos.instances(NAME), "registered")
    service.terminate()
    eventually(lambda: not nacos.instances(NAME), "deregistered")
    assert service.http.get("/users/1").status_code == 200, "it still answers while it drains"
    assert service.process.wait(timeout=10) == -15
    with pytest.raises(httpx.TransportError):
        service.http.get("/users/1")
    assert not nacos.instances(NAME), "no late beat brings it back"


def test_sigterm_ends_it_while_nacos_is_down(service: Service, nacos: FakeNacos) -> None:
    eventually(lambda: nacos.instances(NAME), "registered")
    nacos.stop()
    service.terminate()
    service.process.wait(timeout=10)
