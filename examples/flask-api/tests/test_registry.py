"""The registry class: registered, kept alive, registered again, taken out."""

import time
from collections.abc import Callable

from flask_api.registry import Registry

from .conftest import FakeNacos


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_it_registers_and_sends_heartbeats(fake: FakeNacos, registry: Registry) -> None:
    registry.start()
    assert registry.registered
    (what,) = fake.instances.values()
    assert what["cluster_name"] == "DEFAULT", 'the SDK would write the text "None"'
    assert what["metadata"]["framework"] == "flask"
    until(lambda: fake.beats >= 3)


def test_a_server_that_forgot_it_hears_of_it_again(fake: FakeNacos, registry: Registry) -> None:
    registry.start()
    fake.instances.clear()
    until(lambda: len(fake.instances) == 1)


def test_a_nacos_that_is_down_at_the_start_is_tried_again(
    fake: FakeNacos, registry: Registry
) -> None:
    fake.down = True
    registry.start()
    assert not registry.registered
    assert "refused" in (registry.last_error or "")
    fake.down = False
    until(lambda: registry.registered)
    assert registry.last_error is None


def test_stop_takes_it_out_and_no_beat_brings_it_back(fake: FakeNacos, registry: Registry) -> None:
    registry.start()
    registry.stop()
    assert fake.instances == {}
    beats = fake.beats
    fake.beaten.clear()
    # Three intervals without a beat.
    assert not fake.beaten.wait(0.3)
    assert fake.beats == beats
    registry.stop()


def test_a_deregistration_that_fails_is_said(fake: FakeNacos, registry: Registry) -> None:
    registry.start()
    fake.down = True
    assert not registry.deregister()
