"""How greenlets wait for PostgreSQL."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

SCRIPT = Path(__file__).with_name("greenlets.py")
ROOT = SCRIPT.parents[2]


@pytest.fixture(scope="module")
def found(database_url):
    url = make_url(database_url).set(drivername="postgresql")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gevent.monkey", str(SCRIPT)),
            url.render_as_string(hide_password=False),
        ],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert not done.stderr, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_statement_holds_up_its_own_greenlet_only(found):
    assert found[0] == ["quick", "slow"]


def test_a_pipeline_may_be_larger_than_what_the_sockets_hold(found):
    assert found[1] == 20 * 1_000_000


def test_a_wait_ends_when_its_time_is_over(found):
    assert "timeout" in found[2]


def test_a_link_that_ends_is_noticed(found):
    assert found[3] == "57P01"
    assert found[4] == "connection socket closed"
