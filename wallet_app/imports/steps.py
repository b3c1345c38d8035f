"""How an import goes on: the lines that are next, and what is told of them."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import (
    BigInteger,
    LargeBinary,
    Row,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    null,
    select,
    update,
)

from wallet_app.background.jobs import LEASE, LeaseLostError
from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.imports import rows
from wallet_app.imports.lifecycle import IMPORTS, TABLE
from wallet_app.imports.models import ImportChunk, ImportOutcome
from wallet_app.imports.outcomes import Told
from wallet_app.ledger.rules import Operation
from wallet_app.ledger.sql import driver_sql

CHUNKS = ImportChunk.__table__.c


@dataclass(slots=True)
class Part:
    """Lines that are posted together, up to the one before `end_line`."""

    first_line: int
    end_line: int
    size_bytes: int
    rows: list[rows.Row]
    # Whether the chunk that they come from has no more.
    is_last: bool = False
    # Of the rows that are not refused, if they are known already.
    operations: list[Operation] | None = None

    def halves(self) -> "tuple[Part, Part]":
        """Its rows in two parts, of two rows or more."""
        middle = len(self.rows) // 2
        line = self.rows[middle].line
        first = Part(self.first_line, line, 0, self.rows[:middle])
        rest = Part(line, self.end_line, self.size_bytes, self.rows[middle:])
        return first, rest


def read_chunk(import_id: UUID, line: int) -> Row[Any]:
    """The chunk that holds a line; raises LeaseLostError if it was cancelled."""
    statement = (
        select(CHUNKS.first_line, CHUNKS.data)
        .where(CHUNKS.import_id == import_id, CHUNKS.first_line <= line)
        .order_by(CHUNKS.first_line.desc())
        .limit(1)
    )
    with reading() as connection:
        chunk = connection.execute(statement).one_or_none()
    if chunk is None:
        raise LeaseLostError(f"import {import_id} has no line {line} any more")
    return chunk


def step_sql() -> bytes:
    """The statement that says what became of lines, if they are still ours to post."""
    number: dict[str, Any] = {"type_": BigInteger}
    first_line = bindparam("first_line", **number)
    step = (
        update(TABLE)
        .where(
            IMPORTS.id == bindparam("import_id", type_=Uuid),
            IMPORTS.lease_id == bindparam("lease", type_=Uuid),
            IMPORTS.next_line == first_line,
        )
        .values(
            next_line=bindparam("end", **number),
            leased_until=func.now() + literal_column(f"interval '{LEASE}'"),
            attempts=literal_column("0"),
            error=null(),
            **{
                name: IMPORTS[name] + bindparam(f"more_{name}", **number)
                for name in ("bytes_done", "applied", "replayed", "refused")
            },
        )
        .returning(IMPORTS.id)
        .cte("step")
    )
    told = select(step.c.id, first_line, bindparam("told", type_=LargeBinary))
    return driver_sql(
        insert(ImportOutcome.__table__)
        .from_select(["import_id", "first_line", "data"], told)
        .returning(ImportOutcome.__table__.c.first_line)
    )


STEP = step_sql()


def step(
    connection: psycopg.Connection, claimed: Row[Any], part: Part, told: Told
) -> None:
    """Write down, in the posting's transaction, what became of a part.

    Raises LeaseLostError, which undoes the posting, if the part is not to be posted.
    """
    values = {
        "import_id": claimed.id,
        "lease": claimed.lease_id,
        "first_line": part.first_line,
        "end": part.end_line,
        "more_bytes_done": part.size_bytes,
        "more_applied": told.applied,
        "more_replayed": told.replayed,
        "more_refused": told.refused,
        "told": told.data,
    }
    if connection.execute(STEP, values).fetchone() is None:
        raise LeaseLostError(f"import {claimed.id}, line {part.first_line}")


@repeated
def drop_chunks(import_id: UUID, before_line: int) -> None:
    """The lines of chunks that begin before this one have been posted."""
    posted = (CHUNKS.import_id == import_id) & (CHUNKS.first_line < before_line)
    with transaction() as connection:
        connection.execute(delete(ImportChunk.__table__).where(posted))


def is_behind(claimed: Row[Any], line: int) -> bool:
    """Whether the import, still ours, has come to this line already."""
    this = (IMPORTS.id == claimed.id) & (IMPORTS.lease_id == claimed.lease_id)
    with reading() as connection:
        next_line = connection.scalar(select(IMPORTS.next_line).where(this))
    return next_line is not None and next_line >= line
