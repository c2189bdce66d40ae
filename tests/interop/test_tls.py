"""A server whose gRPC port asks for TLS, and for a certificate of the client."""

import pytest
from conftest import World
from support import eventually
from support.certificates import SERVER_NAME
from support.nacos import Nacos3WithTls


@pytest.mark.only(tls=True)
def test_a_gateway_with_a_certificate_does_its_job_over_tls(world: World) -> None:
    assert isinstance(world.nacos, Nacos3WithTls)
    certificates = world.nacos.certificates
    one = world.upstream("users", "one").register()
    world.publish(f"routes: {{ /api/users/**: {one.service} }}")
    tls = {
        "grpc_tls": True,
        "tls_ca_file": str(certificates.authority),
        "tls_server_name": SERVER_NAME,
    }
    # Without a certificate of its own it is refused, and says what is missing. Where the server
    # closes before its alert is read, the reason is in the next line, a minute later.
    stranger = world.gateway(nacos=tls)
    reason = "asks for a client certificate"
    eventually("the reason", lambda: reason in stranger.log(), within=150)
    stranger.close()

    own = {"tls_cert_file": str(certificates.client), "tls_key_file": str(certificates.client_key)}
    gateway = world.gateway(nacos={**tls, **own}).wait_ready()
    gateway.wait_answer("/api/users/1")
    connection = gateway.sessions()[0]["connection"]
    assert connection["transport"] == "grpc", connection
    eventually("it in the console", lambda: world.nacos.instances(gateway.service))
    world.publish(f"routes: {{ /more/**: {one.service} }}")
    gateway.wait_answer("/more/1")
    two = world.upstream("users", "two").register()
    eventually("both", lambda: gateway.answering("/more/1", 8) == {"one", "two"})
    two.deregister()
    assert gateway.terminate() == 0, gateway.log()
