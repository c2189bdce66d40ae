"""Both text formats are what their scrapers read, and the names are what `promtool` asks for.

The parsers are those of the Python client, which refuse more than Prometheus does. PAILOU_BIN names
the gateway's binary.
"""

import math
import re

import pytest
from conftest import ODD_ROUTE
from prometheus_client import Metric, parser
from prometheus_client.openmetrics import parser as openmetrics
from stack import send

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

# As Prometheus 2.53 and 3.1 ask.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)

# What changes between two scrapes that nothing happened in.
RESTLESS = ("process_",)

# Of promtool's linter (client_golang, prometheus/testutil/promlint).
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}
UNITS = "amperes|bytes|celsius|grams|joules|meters|metres|moles|seconds|volts"
PREFIXES = (
    "pico|nano|micro|milli|centi|deci|deca|hecto|kilo|kibi|mega|mebi|giga|gibi|tera|tebi|peta|pebi"
)
NOT_BASE = re.compile(
    f"({PREFIXES})({UNITS})|minutes|hours|days|weeks|kelvins?|fahrenheit|inches|bits|percent"
)
ABBREVIATIONS = {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def families(url: str, **headers: str) -> list[Metric]:
    """What a scraper understands of the answer."""
    status, content_type, text = send(url, **headers)
    assert status == 200
    if content_type == OPENMETRICS:
        return list(openmetrics.text_string_to_metric_families(text))
    assert content_type == TEXT
    return list(parser.text_string_to_metric_families(text))


def samples(found: list[Metric]) -> Samples:
    every = [sample for family in found for sample in family.samples]
    told = {(each.name, tuple(sorted(each.labels.items()))): each.value for each in every}
    assert len(told) == len(every), "no series is told twice"
    return {key: value for key, value in told.items() if not key[0].startswith(RESTLESS)}


@pytest.fixture
def text(metrics_url: str) -> list[Metric]:
    return families(metrics_url)


@pytest.fixture
def open_metrics(metrics_url: str) -> list[Metric]:
    return families(metrics_url, accept=PROMETHEUS)


def test_both_formats_say_the_same(text: list[Metric], open_metrics: list[Metric]) -> None:
    said, said_openly = samples(text), samples(open_metrics)
    assert said == said_openly
    assert len(said) > 300


def test_each_family_has_its_type(text: list[Metric], open_metrics: list[Metric]) -> None:
    expected = {
        "pailou_requests": "counter",
        "pailou_request_duration_seconds": "histogram",
        "pailou_request_first_byte_seconds": "histogram",
        "pailou_upstream_duration_seconds": "histogram",
        "pailou_stream_duration_seconds": "histogram",
        "pailou_request_causes": "counter",
        "pailou_service_endpoints": "gauge",
        "pailou_service_checks_failed": "counter",
        "pailou_service_away_ratio": "gauge",
        "pailou_service_ejections": "counter",
        "pailou_requests_in_flight": "gauge",
        "pailou_routes_last_reload_success_timestamp_seconds": "gauge",
        "process_cpu_seconds": "counter",
    }
    for found, build in [
        (text, ("pailou_build_info", "gauge")),
        (open_metrics, ("pailou_build", "info")),
    ]:
        types = {family.name: family.type for family in found}
        assert types.items() >= dict([*expected.items(), build]).items()
        assert all(kind != "unknown" for kind in types.values()), types


def test_promtool_has_nothing_to_say(text: list[Metric]) -> None:
    problems = []
    for family in text:
        # The parser takes the ending of a counter for a part of its type.
        name = family.name + ("_total" if family.type == "counter" else "")
        words = name.split("_")
        rules = {
            "no help text": bool(family.documentation),
            "non-counter metrics should not have `_total`": family.type == "counter"
            or words[-1] != "total",
            "a suffix that belongs to histograms": words[-1] not in {"count", "sum", "bucket"},
            "the type in the name": not TYPES & set(words),
            "camelCase": name == name.lower(),
            "a colon": ":" not in name,
            "an abbreviated unit": not ABBREVIATIONS & set(words),
            "not the base unit": not any(NOT_BASE.fullmatch(word) for word in words),
            "another prefix": name.startswith(("pailou_", "process_")),
        }
        problems += [f"{name}: {rule}" for rule, holds in rules.items() if not holds]
        for sample in family.samples:
            reserved = {"le", "quantile"} & set(sample.labels)
            if reserved and not (family.type == "histogram" and sample.name.endswith("_bucket")):
                problems.append(f"{name}: the label {reserved}")
    assert problems == []


def test_a_counter_is_described_by_its_whole_name_where_scrapers_want_it(metrics_url: str) -> None:
    _, _, classic = send(metrics_url)
    assert "# TYPE pailou_requests_total counter\n" in classic
    assert "# EOF" not in classic
    _, _, modern = send(metrics_url, accept="application/openmetrics-text")
    assert "# TYPE pailou_requests counter\n" in modern
    assert modern.endswith("# EOF\n")


def test_requests_are_told_by_route_service_method_and_status(text: list[Metric]) -> None:
    counted = {
        (labels["route"], labels["service"], labels["method"], labels["status_code"]): value
        for labels, value in series(text, "pailou_requests_total")
    }
    api = "/api/**", "user-service"
    assert counted == {
        (*api, "GET", "200"): 2,
        (*api, "POST", "404"): 1,
        (*api, "other", "418"): 1,
        ("/empty/**", "nobody-service", "GET", "503"): 1,
        (ODD_ROUTE, "user-service", "GET", "200"): 1,
        ("", "", "GET", "404"): 1,
    }
    for labels, _ in series(text, "pailou_requests_total"):
        parts = labels["nacos"], labels["namespace"], labels["group"]
        assert parts == (
            ("default", "public", "DEFAULT_GROUP") if labels["route"] else ("", "", "")
        )


def test_causes_ejections_and_retries_are_there_before_the_first(text: list[Metric]) -> None:
    for name, of, label, words in [
        (
            "pailou_request_causes_total",
            {"route": "/api/**"},
            "cause",
            {"connect_failed", "upstream_reset", "client_gone"},
        ),
        ("pailou_request_causes_total", {"route": ""}, "cause", {"malformed_head", "head_timeout"}),
        (
            "pailou_service_ejections_total",
            {"service": "user-service"},
            "cause",
            {"refused", "reset", "timeout", "tls"},
        ),
        (
            "pailou_connections_refused_total",
            {},
            "reason",
            {"limit", "limit_per_ip", "header_timeout"},
        ),
    ]:
        zeros = {
            labels[label]
            for labels, value in series(text, name)
            if value == 0 and of.items() <= labels.items()
        }
        assert words <= zeros, name
    retries = {
        labels["route"]: value for labels, value in series(text, "pailou_request_retries_total")
    }
    assert retries == {"/api/**": 0, "/empty/**": 0, ODD_ROUTE: 0, "": 0}


def test_buckets_suit_a_gateway_and_streams_have_their_own(text: list[Metric]) -> None:
    name = "pailou_request_duration_seconds_bucket"
    bounds = sorted({float(labels["le"]) for labels, _ in series(text, name)})
    assert (bounds[0], bounds[-2], bounds[-1]) == (0.001, 60.0, math.inf)
    assert len(bounds) == 16

    def count(name: str) -> dict[str, float]:
        found = series(text, f"{name}_count")
        return {labels["route"]: value for labels, value in found}

    # Of the four requests of this route one was a stream.
    assert count("pailou_request_duration_seconds")["/api/**"] == 3
    assert count("pailou_upstream_duration_seconds")["/api/**"] == 3
    assert count("pailou_request_first_byte_seconds")["/api/**"] == 4
    assert count("pailou_stream_duration_seconds")["/api/**"] == 1
    assert count("pailou_upstream_duration_seconds").keys() == {"/api/**", ODD_ROUTE}


def series(found: list[Metric], name: str) -> list[tuple[dict[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for family in found
        for sample in family.samples
        if sample.name == name
    ]
