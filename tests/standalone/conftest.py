"""Folders for the runs of the service."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from runs import left_behind


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not pytest's: the start of another pytest closes that to PostgreSQL's user."""
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def instance_dir(folder: Path) -> Iterator[Path]:
    """For all the runs that come to an end; none of them leaves a process."""
    yield folder / "instance"
    assert left_behind(folder / "instance") == []
