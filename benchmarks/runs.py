"""The benchmarks: each makes its database and candidates and returns its tables."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from benchmarks import database, pgbench, plot, report, workloads
from benchmarks.candidates import serve
from benchmarks.database import Database
from benchmarks.measuring import Candidate, Cell, Figures, measure, take_sample
from benchmarks.workloads import BATCHES, Workload

WALLETS = 1000
HISTORY_ROWS = 10
LARGE_WALLETS = 10_000
LARGE_ROWS = 1000
LARGE_WARM_UP_SECONDS = 20
CLIENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
WORKERS = (1, 2, 3, 4)
THREADS = (16, 32)
# A lone client's latencies differ by so little that they need more rounds.
LONE_ROUNDS = 4

GROUP = "group commit"
SINGLE = "group commit off"
NO_DATABASE = "no database"
BARE_FLASK = "bare Flask"
BARE_THREADS = "bare Flask, threads"
PGBENCH = "pgbench"

APPS = {
    NO_DATABASE: "benchmarks.no_database:app",
    BARE_FLASK: "benchmarks.bare_flask:app",
    BARE_THREADS: "benchmarks.bare_flask:app",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """`quick`: shows that it works; the figures say little."""

    seconds: int
    rounds: int
    quick: bool


@dataclass(frozen=True)
class Result:
    """`text`: what the figures say, in Markdown."""

    figures: Figures
    text: str


def threaded(count: int) -> tuple[str, ...]:
    """gunicorn's thread workers instead of the project's."""
    return ("--worker-class", "gthread", "--threads", str(count))


@contextmanager
def servers(store: Database, *names: str) -> Iterator[dict[str, Candidate]]:
    """Start servers on one database."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                serve(
                    name,
                    APPS.get(name, "wsgi:app"),
                    store.url,
                    options=threaded(32) if name == BARE_THREADS else (),
                    group_commit="off" if name == SINGLE else "on",
                )
            )
            for name in names
        }


def take(
    cells: list[Cell], store: Database, options: Options, *, warm_up_seconds: int = 1
) -> Figures:
    """Measure, after every candidate has served for a while without being measured."""
    for candidate in {candidate.name: candidate for _, candidate in cells}.values():
        workload = next(w for w, other in cells if other is candidate)
        take_sample(workload, candidate, store, seconds=warm_up_seconds)
    figures = measure(cells, store, rounds=options.rounds, seconds=options.seconds)
    store.check_books()
    return figures


def machine(store: Database, options: Options) -> str:
    return report.machine(store, rounds=options.rounds, seconds=options.seconds)


def grids(figures: Figures, store: Database, options: Options) -> str:
    values = ("operations_per_s", "p99_ms", "web_cpu_us")
    tables = [report.grid(figures, value) for value in values]
    return "\n\n".join([machine(store, options), *tables, report.failures(figures)])


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def loads(options: Options) -> Result:
    """All candidates under all loads, and a lone client."""
    with (
        database.throw_away() as store,
        servers(store, GROUP, SINGLE, NO_DATABASE, BARE_FLASK, BARE_THREADS) as found,
    ):
        wallets = store.fill(wallets=WALLETS, rows=HISTORY_ROWS)
        found[PGBENCH] = pgbench.prepare(PGBENCH, store, WALLETS)
        figures = take(load_cells(wallets, found), store, options)
        batched = figures.ratio(
            "operations_per_s",
            (workloads.hot_batches(wallets).name, GROUP),
            (workloads.hot(wallets).name, PGBENCH),
        )
        lone_rounds = options.rounds * (1 if options.quick else LONE_ROUNDS)
        lone = [(workloads.lone(wallets), found[name]) for name in (GROUP, SINGLE)]
        lone_figures = take(lone, store, replace(options, rounds=lone_rounds))
        figures.samples |= lone_figures.samples
        parts = [
            machine(store, options),
            report.samples_table(figures),
            report.ratios_table(figures, GROUP),
            f"Batches of 100 on one hot wallet / pgbench on it: **{batched:.1f}**",
        ]
    return Result(figures, "\n\n".join(parts))


def load_cells(wallets: list[str], found: dict[str, Candidate]) -> list[Cell]:
    pairs: list[tuple[Workload, list[str]]] = [
        (workloads.hot(wallets), [*found]),
        (workloads.uniform(wallets), [*found]),
        (workloads.zipf(wallets), [GROUP, SINGLE, PGBENCH]),
        (workloads.transfers(wallets), [GROUP, SINGLE]),
        *((workloads.batches(wallets, size), [GROUP, SINGLE]) for size in BATCHES),
        (workloads.hot_batches(wallets), [GROUP, SINGLE]),
        (workloads.reads(wallets), [GROUP, BARE_FLASK, BARE_THREADS]),
    ]
    return [(workload, found[name]) for workload, names in pairs for name in names]


def clients(options: Options) -> Result:
    """One hot wallet's throughput against the number of clients, with a plot."""
    names = (GROUP, SINGLE, BARE_FLASK)
    with database.throw_away() as store, servers(store, *names) as found:
        hot = workloads.hot(store.fill(wallets=WALLETS, rows=HISTORY_ROWS))
        by_count = [
            replace(hot, name=plural(count, "client"), connections=count)
            for count in CLIENTS
        ]
        cells = [(load, found[name]) for load in by_count for name in names]
        figures = take(cells, store, options)
        text = grids(figures, store, options)
    lines = {
        name: [figures.median(load.name, name).operations_per_s for load in by_count]
        for name in names
    }
    plot.draw(CLIENTS, lines)
    return Result(figures, text)


def workers(options: Options) -> Result:
    """One hot wallet's throughput against the number of workers and their kind."""
    kinds = {"greenlets": ()} | {plural(n, "thread"): threaded(n) for n in THREADS}
    figures = Figures()
    with database.throw_away() as store:
        hot = workloads.hot(store.fill(wallets=WALLETS, rows=HISTORY_ROWS))
        for _ in range(options.rounds):
            for count, (kind, flags) in itertools.product(WORKERS, kinds.items()):
                load = replace(hot, name=plural(count, "worker"))
                with serve(
                    kind, "wsgi:app", store.url, options=flags, workers=count
                ) as server:
                    once = replace(options, rounds=1)
                    figures.extend(take([(load, server)], store, once))
        return Result(figures, grids(figures, store, options))


def large(options: Options) -> Result:
    """The same load on a short and on a long history."""
    wallets = LARGE_WALLETS // 10 if options.quick else LARGE_WALLETS
    rows = LARGE_ROWS // 10 if options.quick else LARGE_ROWS
    with ExitStack() as stack:
        short = stack.enter_context(database.throw_away())
        cells: list[Cell] = []
        for store, each in ((short, 1), (short.another("large"), rows)):
            name = f"{wallets * each:,} transactions"
            print(f"Making {name} ...", flush=True)
            uuids = store.fill(wallets=wallets, rows=each)
            load = workloads.uniform(uuids, sample=4 * wallets)
            server = stack.enter_context(serve(name, "wsgi:app", store.url))
            cells.append((load, server))
        # After a checkpoint the first change of a page writes all of it to the log:
        # every wallet has a page of its own in the long history's index.
        warm_up = 1 if options.quick else LARGE_WARM_UP_SECONDS
        figures = take(cells, short, options, warm_up_seconds=warm_up)
        ratio = figures.ratio(
            "operations_per_s",
            *((load.name, server.name) for load, server in reversed(cells)),
        )
        parts = [
            machine(short, options),
            report.samples_table(figures),
            f"Throughput with the long history / with the short one: **{ratio:.2f}**",
        ]
    return Result(figures, "\n\n".join(parts))


RUNS = {"loads": loads, "clients": clients, "workers": workers, "large": large}
