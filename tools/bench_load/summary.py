"""Medians, spreads and ratios of what was measured."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from .measure import Running, Sample
from .options import Case, Setup

# What every other proxy is compared with.
REFERENCE = "pailou"
# Fewer rounds than that have no quarters worth the name.
ROUNDS_FOR_QUARTILES = 4


@dataclass(frozen=True)
class Spread:
    """The median, and the values between which half of all are (all of them, of less than four)."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        median = statistics.median(values)
        if len(values) < ROUNDS_FOR_QUARTILES:
            return cls(min(values), median, max(values))
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, median, high)


@dataclass(frozen=True)
class Row:
    """One proxy under one load."""

    setup: Setup
    case: Case
    proxy: str
    cpu_us: Spread
    # Pailou's CPU per request divided by this proxy's, round by round. None for Pailou itself.
    ratio: Spread | None
    requests_per_second: float
    p50_us: float
    p99_us: float
    p999_us: float
    idle_rss_bytes: int
    loaded_rss_bytes: float
    start_seconds: float
    failed: int
    disturbed: float | None

    @property
    def title(self) -> str:
        """The load in words."""
        setup = str(self.setup)
        return f"{self.case}; {setup}" if setup else str(self.case)


def rows(setup: Setup, case: Case, running: list[Running]) -> list[Row]:
    """A row for each proxy that had this load."""
    reference = next((one for one in running if one.peer.name == REFERENCE), None)
    return [row(setup, case, one, reference) for one in running if one.samples.get(case)]


def row(setup: Setup, case: Case, one: Running, reference: Running | None) -> Row:
    samples = one.samples[case]

    def median(value: Callable[[Sample], float]) -> float:
        return statistics.median(value(sample) for sample in samples)

    return Row(
        setup=setup,
        case=case,
        proxy=one.peer.name,
        cpu_us=Spread.of([sample.cpu_us for sample in samples]),
        ratio=ratio(case, one, reference),
        requests_per_second=median(lambda sample: sample.requests_per_second),
        p50_us=median(lambda sample: sample.p50_us),
        p99_us=median(lambda sample: sample.p99_us),
        p999_us=median(lambda sample: sample.p999_us),
        idle_rss_bytes=one.idle_rss_bytes,
        loaded_rss_bytes=median(lambda sample: sample.rss_bytes),
        start_seconds=statistics.median(one.start_seconds),
        failed=sum(sample.failed for sample in samples),
        disturbed=None
        if any(sample.disturbed is None for sample in samples)
        else median(lambda sample: sample.disturbed),
    )


def ratio(case: Case, one: Running, reference: Running | None) -> Spread | None:
    if reference is None or reference is one or not reference.samples.get(case):
        return None
    rounds = zip(reference.samples[case], one.samples[case], strict=True)
    # A load too short for the clock's ticks has no ratio.
    ratios = [own.cpu_us / other.cpu_us for own, other in rounds if other.cpu_us > 0]
    return Spread.of(ratios) if ratios else None
