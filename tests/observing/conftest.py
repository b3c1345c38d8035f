"""A real gunicorn with two workers, and what it says."""

from contextlib import contextmanager

import pytest
from gunicorns import Gunicorn
from ops import wait_until


@pytest.fixture
def serve(database_environment, tmp_path):
    """Start gunicorn with settings, or other variables of the environment."""

    @contextmanager
    def start(**environment):
        log = tmp_path / "gunicorn.log"
        served = Gunicorn(log, database_environment | environment)
        try:
            wait_until(served.answers, 60)
            yield served
        finally:
            if served.process.poll() is None:
                served.end()
        assert "Traceback" not in log.read_text()

    return start
