"""What it costs to be seen: logs, metrics and traces, on one hot wallet.

`make bench-observing`: the same servers with nothing on, with each, and with all of it.
"""

import argparse
import http.server
import os
import random
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import database, report, workloads
from benchmarks.candidates import Server, serve
from benchmarks.measuring import Figures, measure, take_sample
from benchmarks.runs import HISTORY_ROWS, WALLETS

OFF, AGAIN, ALL = "nothing on", "nothing on, once more", "everything on"
LOGS = {"log_format": "json", "request_log": "on"}
METRICS = {"metrics": "on"}
TRACES = {"tracing": "on"}
VARIANTS: dict[str, dict[str, str]] = {
    OFF: {},
    AGAIN: {},
    "JSON logs": LOGS,
    "metrics": METRICS,
    "traces, 1 % sampled": TRACES,
    ALL: LOGS | METRICS | TRACES,
}
SAMPLER = {
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.01",
}
SCRAPE_INTERVAL_S = 5


class Sink(http.server.BaseHTTPRequestHandler):
    """Where the spans go."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts += 1  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def sink() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.posts = 0  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@contextmanager
def scraped(servers: list[Server]) -> Iterator[None]:
    """Prometheus asks from time to time."""
    ends = threading.Event()

    def scrape() -> None:
        while not ends.wait(SCRAPE_INTERVAL_S):
            for server in servers:
                url = f"http://127.0.0.1:{server.port}/metrics"
                with urllib.request.urlopen(url) as page:
                    page.read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def table(figures: Figures, load: str) -> str:
    rows = []
    for name in VARIANTS:
        ratios = [
            f"{figures.ratio(value, (load, name), (load, OFF)):.3f}"
            for value in ("operations_per_s", "web_cpu_us")
        ]
        median = figures.median(load, name)
        speed, latency = f"{median.operations_per_s:,.0f}", f"{median.p99_ms:.0f}"
        rows.append([name, speed, *ratios, latency])
    head = ["on", "op/s", "speed / nothing on", "CPU/op / nothing on", "p99 ms"]
    return report.table(head, rows, texts=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(database.throw_away())
        load = workloads.hot(store.fill(wallets=WALLETS, rows=HISTORY_ROWS))
        spans = stack.enter_context(sink())
        endpoint = f"http://127.0.0.1:{spans.server_port}"
        os.environ |= SAMPLER | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        servers = {}
        for number, (name, settings) in enumerate(VARIANTS.items()):
            log = ("--capture-output", "--error-logfile", str(folder / f"{number}.log"))
            servers[name] = stack.enter_context(
                serve(name, "wsgi:app", store.url, options=log, **settings)
            )
        for server in servers.values():
            take_sample(load, server, store, 1)
        measured = [
            servers[name]
            for name, on in VARIANTS.items()
            if METRICS.items() <= on.items()
        ]
        cells = [(load, server) for server in servers.values()]
        figures = Figures()
        with scraped(measured):
            for _ in range(options.rounds):
                random.shuffle(cells)
                figures.extend(measure(cells, store, rounds=1, seconds=options.seconds))
        print(report.machine(store, rounds=options.rounds, seconds=options.seconds))
        print(table(figures, load.name), report.failures(figures), sep="\n\n")
        lines = sum(1 for log in folder.glob("*.log") for _ in log.open())
        print(f"\n{lines:,} lines logged, spans sent {spans.posts:,} times")  # type: ignore[attr-defined]
        store.check_books()


if __name__ == "__main__":
    main()
