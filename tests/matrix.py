"""The tests on another kind of database: serializable, PgBouncer, PostgreSQL 15.

`python -m tests.matrix pgbouncer -k retries`: what follows the kind is for pytest.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from tests import servers


@contextlib.contextmanager
def pgbouncer() -> Iterator[dict[str, str]]:
    with servers.embedded_server() as url, servers.pgbouncer(url) as port:
        yield {
            "WALLET_DATABASE_URL": url,
            # The tests' own connections go straight to the server, so that they see
            # and end its backends; the service's go through the pooler.
            "TEST_POOLER_PORT": str(port),
            "WALLET_TRANSACTION_POOLING": "on",
        }


@contextlib.contextmanager
def serializable() -> Iterator[dict[str, str]]:
    with servers.serializable() as url:
        yield {"WALLET_DATABASE_URL": url}


@contextlib.contextmanager
def postgres_15() -> Iterator[dict[str, str]]:
    with servers.postgres_15() as url:
        yield {"WALLET_DATABASE_URL": url}


KINDS = {
    "serializable": serializable,
    "pgbouncer": pgbouncer,
    "postgres-15": postgres_15,
}


def main() -> int:
    kind, *options = sys.argv[1:]
    # Whoever is told to end stops its servers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()
    with KINDS[kind]() as environment:
        command = [sys.executable, "-m", "pytest", *options]
        code = subprocess.run(
            command, env=os.environ | environment, check=False
        ).returncode
    sys.stdout.write(f"{kind}: {time.monotonic() - began:.0f} s\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
