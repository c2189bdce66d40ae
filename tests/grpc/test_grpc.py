"""gRPC through the gateway, with grpcio on both sides."""

import queue
import time
import urllib.request

import grpc
import pytest


def test_a_unary_call_has_its_answer_and_its_trailers(channel: grpc.Channel) -> None:
    answer, call = channel.unary_unary("/test.Echo/Unary").with_call(b"hello", timeout=10)
    assert answer == b"hello"
    assert ("x-trailing", "yes") in call.trailing_metadata()


def test_many_calls_share_a_channel(channel: grpc.Channel) -> None:
    method = channel.unary_unary("/test.Echo/Unary")
    calls = [method.future(str(number).encode(), timeout=20) for number in range(200)]
    assert [call.result() for call in calls] == [str(number).encode() for number in range(200)]


def test_a_client_streams(channel: grpc.Channel) -> None:
    pieces = [bytes([number]) * 10_000 for number in range(50)]
    answer = channel.stream_unary("/test.Echo/Client")(iter(pieces), timeout=20)
    assert answer == b"".join(pieces)


def test_a_server_streams(channel: grpc.Channel) -> None:
    answers = channel.unary_stream("/test.Echo/Server")(b"500", timeout=20)
    assert list(answers) == [str(number).encode() for number in range(500)]


def test_both_stream_and_each_message_is_answered_before_the_next(channel: grpc.Channel) -> None:
    to_send: queue.Queue[bytes | None] = queue.Queue()
    answers = channel.stream_stream("/test.Echo/Both")(iter(to_send.get, None), timeout=20)
    for number in range(20):
        to_send.put(str(number).encode())
        assert next(answers) == str(number).encode()
    to_send.put(None)
    assert list(answers) == []


def test_the_status_of_the_service_reaches_the_client(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/test.Echo/Fail")(b"", timeout=10)
    assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == "not today"


@pytest.mark.parametrize(
    ("method", "status", "cause"),
    [
        ("/test.Nowhere/X", grpc.StatusCode.UNIMPLEMENTED, "no_route"),
        ("/test.Nobody/X", grpc.StatusCode.UNAVAILABLE, "service_"),
        ("/test.Echo/Nothing", grpc.StatusCode.UNIMPLEMENTED, ""),
    ],
)
def test_an_error_of_the_gateway_is_a_status(
    channel: grpc.Channel, method: str, status: grpc.StatusCode, cause: str
) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary(method)(b"", timeout=10)
    assert failed.value.code() == status
    assert cause in failed.value.details()


def test_a_call_ends_at_its_deadline(channel: grpc.Channel) -> None:
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/test.Echo/Slow")(b"", timeout=0.5)
    assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 10


def test_a_call_that_is_cancelled_costs_no_other(channel: grpc.Channel) -> None:
    slow = channel.unary_unary("/test.Echo/Slow").future(b"", timeout=30)
    slow.cancel()
    assert channel.unary_unary("/test.Echo/Unary")(b"next", timeout=10) == b"next"


def test_an_instance_of_spring_is_called_at_its_port_for_grpc(
    channel: grpc.Channel, gateway: str
) -> None:
    for _ in range(3):
        answer = channel.unary_unary("/spring/test.Echo/Unary")(b"hello", timeout=10)
        assert answer == b"hello"
        with urllib.request.urlopen(f"http://{gateway}/pages/a") as page:
            assert page.read() == b"page"
