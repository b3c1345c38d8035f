"""Takes the candidates in turn, in several rounds, and keeps the medians."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Protocol

from benchmarks.candidates import Outcome
from benchmarks.database import Database
from benchmarks.workloads import Workload


class Candidate(Protocol):
    """Something that can be loaded."""

    @property
    def name(self) -> str: ...

    def cpu_seconds(self) -> float: ...

    def load(self, workload: Workload, seconds: int) -> Outcome: ...


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measurement; CPU time is in microseconds an operation."""

    operations_per_s: float
    p50_ms: float
    p99_ms: float
    failed: float
    web_cpu_us: float
    postgres_cpu_us: float


Cell = tuple[Workload, Candidate]


class Figures:
    """The samples of every round, by the names of workload and candidate."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, str], list[Sample]] = {}

    def add(self, workload: str, candidate: str, sample: Sample) -> None:
        self.samples.setdefault((workload, candidate), []).append(sample)

    def extend(self, other: "Figures") -> None:
        for key, samples in other.samples.items():
            self.samples.setdefault(key, []).extend(samples)

    def median(self, workload: str, candidate: str) -> Sample:
        samples = self.samples[workload, candidate]
        return Sample(
            **{
                field.name: statistics.median(getattr(s, field.name) for s in samples)
                for field in fields(Sample)
            }
        )

    def ratio(
        self, value: str, above: tuple[str, str], below: tuple[str, str]
    ) -> float:
        """The median of the rounds' ratios: what slows a round slows both."""
        pairs = zip(self.samples[above], self.samples[below], strict=True)
        ratios: list[float] = [getattr(a, value) / getattr(b, value) for a, b in pairs]
        return statistics.median(ratios)

    def failed(self, workload: str, candidate: str) -> int:
        """How many requests failed in all rounds."""
        return int(sum(s.failed for s in self.samples[workload, candidate]))

    def as_json(self) -> dict[str, list[dict[str, float]]]:
        return {
            f"{workload} / {candidate}": [asdict(sample) for sample in samples]
            for (workload, candidate), samples in self.samples.items()
        }


def measure(
    cells: Sequence[Cell], database: Database, *, rounds: int, seconds: int
) -> Figures:
    """Every cell once a round, backwards in every other one: drift cancels out."""
    figures = Figures()
    for number in range(rounds):
        for workload, candidate in cells if number % 2 == 0 else reversed(cells):
            sample = take_sample(workload, candidate, database, seconds)
            figures.add(workload.name, candidate.name, sample)
            say(number, workload, candidate, sample)
    return figures


def take_sample(
    workload: Workload, candidate: Candidate, database: Database, seconds: int
) -> Sample:
    database.settle()
    web_before_s, postgres_before_s = candidate.cpu_seconds(), database.cpu_seconds()
    outcome = candidate.load(workload, seconds)
    web_s = candidate.cpu_seconds() - web_before_s
    postgres_s = database.cpu_seconds() - postgres_before_s
    operations = max(1, outcome.requests * workload.members)
    return Sample(
        operations_per_s=operations / outcome.seconds,
        p50_ms=outcome.p50_ms,
        p99_ms=outcome.p99_ms,
        failed=outcome.failed,
        web_cpu_us=web_s / operations * 1e6,
        postgres_cpu_us=postgres_s / operations * 1e6,
    )


def say(number: int, workload: Workload, candidate: Candidate, sample: Sample) -> None:
    print(
        f"round {number + 1}  {workload.name:22} {candidate.name:16}"
        f"{sample.operations_per_s:9,.0f} op/s  p50 {sample.p50_ms:7.2f} ms"
        f"  p99 {sample.p99_ms:7.2f} ms  failed {sample.failed:.0f}",
        flush=True,
    )
