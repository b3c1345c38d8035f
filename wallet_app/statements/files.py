"""Where statements are kept, and how one is written: all of it or nothing."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any
from uuid import UUID, uuid4

from flask import Flask, current_app
from sqlalchemy import Row

from wallet_app.config import Settings

STRAY_AFTER_S = 24 * 60 * 60


def init_app(app: Flask, settings: Settings) -> None:
    """Tell the application where statements go; web servers and workers share it."""
    folder = settings.statements_dir or settings.instance_dir / "statements"
    app.extensions["statements_dir"] = folder.absolute()
    app.extensions["statements_keep"] = timedelta(days=settings.statement_days)


def folder() -> Path:
    """The folder of the statements' files."""
    path: Path = current_app.extensions["statements_dir"]
    return path


def keep() -> timedelta:
    """How long a file is kept."""
    age: timedelta = current_app.extensions["statements_keep"]
    return age


def path_of(statement: Row[Any]) -> Path:
    """Where a ready statement's file is."""
    return folder() / f"{statement.id}.{statement.format}"


class HashedFile:
    """A binary file that knows the sha256 and the size of what was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size_bytes += len(data)
        return self.file.write(data)

    @property
    def sha256(self) -> str:
        return self.digest.hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[HashedFile]:
    """A file that appears under its name when it is whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: a worker that was thought dead may still be writing.
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            yield HashedFile(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def delete(ids: list[UUID]) -> None:
    """Delete the files of these statements, whatever their formats."""
    for statement_id in ids:
        for path in folder().glob(f"{statement_id}.*"):
            path.unlink(missing_ok=True)


def strays() -> dict[UUID, list[Path]]:
    """Old files by the statement that they belong to, if they are wanted at all."""
    found: dict[UUID, list[Path]] = {}
    before = time.time() - STRAY_AFTER_S
    for path in folder().glob("*.*"):
        try:
            if path.stat().st_mtime < before:
                found.setdefault(UUID(path.name.partition(".")[0]), []).append(path)
        except (ValueError, FileNotFoundError):
            continue  # Not ours, or gone already.
    return found
