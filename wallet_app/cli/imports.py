"""`flask wallet import`: a file of operations, posted here and now, or by a service."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import click
from flask.cli import with_appcontext
from sqlalchemy import Row

from wallet_app.cli import output
from wallet_app.database import reading
from wallet_app.http.caller import caller
from wallet_app.http.money_requests import KEY_NAMESPACE
from wallet_app.imports import lifecycle, outcomes, receiving, worker
from wallet_app.imports.schemas import FORMATS

PART_BYTES = 1024 * 1024
STEP_S = 0.5


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    help="By itself: csv for *.csv, ndjson for others.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Where to write what became of each row; by itself FILE.outcomes.csv.",
)
@with_appcontext
def import_command(file: Path, file_format: str | None, out: Path | None) -> None:
    """Post a file of operations, a line each; run again, it goes on.

    The same file is the same import: no row is posted twice. Exit code 1: rows were
    refused.
    """
    if file_format is None:
        file_format = "csv" if file.suffix.lower() == ".csv" else "ndjson"
    out = out or file.with_name(f"{file.name}.outcomes.csv")
    key = uuid5(KEY_NAMESPACE, f"import {file_format} {sha256_of(file)}")
    row = lifecycle.find_by_key(caller().tenant_id, key) or receiving.receive(
        caller().tenant_id, file_format, parts_of(file), key
    )
    row = post(row.id, row.rows)
    if row.state != "finished":
        raise click.ClickException(f"The import has {row.state}. {row.error or ''}")
    with out.open("wb") as told:
        chunks = lifecycle.read_outcomes(row.id)
        told.writelines(outcomes.in_format("csv", chunks))
    output.text(
        f"{row.applied:,} applied, {row.replayed:,} replayed, {row.refused:,} refused"
        f" of {row.rows:,}; see {out}"
    )
    if row.refused:
        raise click.exceptions.Exit(1)


def post(import_id: UUID, count: int) -> Row[Any]:
    """Post it, or wait for the worker that does; return what it is at the end."""
    shown = 0
    with click.progressbar(length=count, label="rows") as bar:
        while True:
            with reading() as connection:
                row = lifecycle.find(connection, caller().tenant_id, import_id)
            done = row.applied + row.replayed + row.refused
            bar.update(done - shown)
            shown = done
            if row.state not in lifecycle.OPEN:
                return row
            began = time.monotonic()
            worker.run(import_id, seconds=STEP_S)
            # It is somebody else's.
            time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))


def parts_of(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while part := opened.read(PART_BYTES):
            yield part


def sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
