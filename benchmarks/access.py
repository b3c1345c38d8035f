"""What it costs a request to show a known key: `python -m benchmarks.access`.

In one thread, without a server and without a database, in microseconds.
"""

import time
import timeit

from flask import Flask

from wallet_app.access import key_text
from wallet_app.access.gate import Gate
from wallet_app.access.known_keys import Known, KnownKeys
from wallet_app.http.caller import Caller
from wallet_app.http.scopes import Scope

CALLS, ROUNDS = 100_000, 5


def microseconds(statement: str, **names: object) -> float:
    """The best of several rounds, for one call."""
    times = timeit.repeat(statement, globals=names, number=CALLS, repeat=ROUNDS)
    return min(times) / CALLS * 1e6


def main() -> None:
    key_id = key_text.new_id()
    key = key_text.new_key(key_id)
    keys = KnownKeys(deadline_ms=1000)
    keys.known[key_id] = Known(
        time.monotonic() + 3600,
        ((key_text.digest_of(key), None),),
        Caller(key_id=key_id),
    )
    app = Flask(__name__)
    app.add_url_rule("/api/wallets", "wallets", view_func=lambda: "")
    gate = Gate({"wallets": Scope.WALLETS_READ}, keys)
    headers = {"Authorization": f"Bearer {key}"}
    with app.test_request_context("/api/wallets", headers=headers):
        whole = microseconds("gate.admit()", gate=gate)
    parts = {
        "the gate, whole": whole,
        "  its shape and checksum": microseconds("f(k)", f=key_text.read_id, k=key),
        "  its digest": microseconds("f(k)", f=key_text.digest_of, k=key),
    }
    for name, cost in parts.items():
        print(f"{name:<26} {cost:5.2f} us")


if __name__ == "__main__":
    main()
