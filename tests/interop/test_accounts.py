"""Logins: tokens that expire, users that come late, passwords that are wrong."""

import base64
import hashlib
import hmac
import json
import time

import pytest
from conftest import World
from support import eventually
from support.gateway import Gateway
from support.load import Load
from support.nacos import SECRET
from support.server import TOKEN_SECONDS

pytestmark = pytest.mark.only(auth=True)


def forged(user: str, expires: float, secret: str = SECRET) -> str:
    """A token as the server would sign it, of any age."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def json_part(value: dict) -> str:
        # Without spaces: the server compares the header as a text.
        return part(json.dumps(value, separators=(",", ":")).encode())

    signed = f"{json_part({'alg': 'HS256'})}.{json_part({'sub': user, 'exp': int(expires)})}"
    key = base64.b64decode(secret)
    return f"{signed}.{part(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def login_error(gateway: Gateway) -> str | None:
    login = gateway.sessions()[0]["login"]
    return login.get("error") or login.get("renewal_error")


# The embedded registry's tokens are not signed texts, so there is nothing to forge.
@pytest.mark.only(real=True)
def test_the_server_judges_a_token_by_its_age_and_its_signature(world: World) -> None:
    path, now = "v1/cs/configs?dataId=none&group=DEFAULT_GROUP", time.time()
    assert world.nacos.ask(path, forged("nacos", now + 60)).status == 404
    other = base64.b64encode(b"another secret of thirty-two bytes!").decode()
    for token, reason in (
        (forged("nacos", now - 60), "token expired!"),
        (forged("nacos", now + 60, other), "Invalid signature"),
    ):
        answer = world.nacos.ask(path, token)
        assert answer.status == 403, answer
        assert reason in answer.text, answer


# The embedded registry has one user from its start to its end, whose tokens live for five hours.
@pytest.mark.only(real=True)
def test_tokens_that_expire_a_user_that_comes_late_and_a_password_that_changes(
    world: World,
) -> None:
    users = world.upstream("users", "one").register()
    world.publish(f"routes: {{ /api/**: {users.service} }}")
    lasting = world.gateway().wait_ready()
    began = time.monotonic()

    # The server refuses a user until it loads it, which it does every 15 s.
    user = world.name("gateway")
    world.nacos.create_user(user, "first-password")
    late = world.gateway(nacos={"username": user, "password": "first-password"})
    late.wait_ready().wait_answer("/api/1")

    world.nacos.change_password(user, "first-password", "another")
    with Load(late.port, "/api/1") as load:
        eventually("the login to fail", lambda: login_error(late))
        before = late.sessions()[0]["counts"]["failed_logins"]
        until = time.monotonic() + 4
        while time.monotonic() < until:
            load.more(20)
        tries = late.sessions()[0]["counts"]["failed_logins"] - before
        assert tries <= 4, f"{tries} logins in 4 s"
        world.nacos.change_password(user, "another", "first-password")
        eventually("the login to succeed", lambda: not login_error(late))

        # The other gateway went through renewals meanwhile and never showed an old token.
        eventually(
            "the first token expired, and another one there",
            lambda: (
                time.monotonic() - began > TOKEN_SECONDS + 1
                and lasting.sessions()[0]["counts"]["logins"] >= 2
            ),
        )
        world.publish(f"routes: {{ /api/**: {users.service}, /later/**: {users.service} }}")
        world.upstream("users", "two").register()
        for gateway in (late, lasting):
            gateway.wait_answer("/later/1")
            eventually("the newcomer", lambda g=gateway: g.answering("/api/1", 4) == {"one", "two"})
        counts = lasting.sessions()[0]["counts"]
        assert (counts["forbidden"], counts["failed_logins"]) == (0, 0), counts


@pytest.mark.only(real=True)
def test_tokens_that_expire_again_and_again_cost_no_request_and_no_change(world: World) -> None:
    users = world.upstream("users", "one").register()
    world.publish(f"routes: {{ /api/**: {users.service} }}")
    gateway = world.gateway().wait_ready()
    gateway.wait_answer("/api/1")
    with Load(gateway.port, "/api/1") as load:
        for life in range(1, 5):
            until = time.monotonic() + TOKEN_SECONDS
            while time.monotonic() < until:
                load.more(20)
            # What needs a token goes on: a document is read, and a new service subscribed to.
            late = world.upstream(f"late-{life}", f"late {life}").register()
            world.publish(
                f"routes: {{ /api/**: {users.service}, /late-{life}/**: {late.service} }}"
            )
            gateway.wait_answer(f"/late-{life}/1")
    counts = gateway.sessions()[0]["counts"]
    assert counts["logins"] >= 4, counts
    assert (counts["forbidden"], counts["failed_logins"]) == (0, 0), counts


@pytest.mark.only(real=True)
def test_an_account_that_may_only_read_is_enough_to_serve(world: World) -> None:
    users = world.upstream("users", "one").register()
    world.publish(f"routes: {{ /api/**: {users.service} }}")
    user = world.name("reader")
    world.nacos.create_user(user, "a-password", action="r")
    gateway = world.gateway(nacos={"username": user, "password": "a-password"})
    gateway.wait_ready().wait_answer("/api/1")
    world.publish(f"routes: {{ /api/**: {users.service}, /later/**: {users.service} }}")
    gateway.wait_answer("/later/1")
    # It is not in the console, and says so.
    eventually(
        "the refused registration in the log",
        lambda: "the gateway could not register itself" in gateway.log(),
    )
    assert not world.nacos.instances(gateway.service)


def test_a_wrong_password_is_named_and_not_tried_without_a_pause(world: World) -> None:
    world.publish("routes: {}")
    user, _ = world.nacos.credentials
    gateway = world.gateway(nacos={"username": user, "password": "wrong"})
    session = eventually(
        "a refused login",
        lambda: next((s for s in gateway.sessions() if s["login"]["phase"] == "failed"), None),
    )
    assert world.nacos.address in session["login"]["error"]
    time.sleep(4)
    counts = gateway.sessions()[0]["counts"]
    assert 1 <= counts["failed_logins"] <= 4, counts
    assert counts["forbidden"] <= 20, counts
    status = gateway.admin("/api/v1/status")
    assert not status["ready"]
    assert "refused the right" in status["reason"], status["reason"]
    assert gateway.probe("/readyz") == 503
    assert gateway.probe("/healthz") == 200
    assert "login" in gateway.log()
