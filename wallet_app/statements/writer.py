"""Writes the file of a statement; safe to be killed, and to be run twice."""

import logging
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from wallet_app.background.jobs import LeaseLostError
from wallet_app.statements import files, lifecycle
from wallet_app.statements.entry_stream import (
    BrokenChainError,
    balances,
    read_chunks,
)
from wallet_app.statements.formats import csv_file, json_file
from wallet_app.statements.formats.content import Content, Sink
from wallet_app.statements.lifecycle import Pinned

logger = logging.getLogger(__name__)

PROGRESS_INTERVAL_S = 1.0


def write_pdf(content: Content, sink: Sink) -> None:
    """Write a PDF; its library is large, and a web server never needs it."""
    from wallet_app.statements.formats import pdf_file  # noqa: PLC0415

    pdf_file.write(content, sink)


WRITERS = {"csv": csv_file.write, "json": json_file.write, "pdf": write_pdf}


def write(statement_id: UUID) -> bool:
    """Write a statement that is free; return whether this call has finished it.

    A failure gives it back for another try; one that would repeat itself ends it.
    """
    claimed = lifecycle.claim(statement_id)
    if claimed is None:
        return False
    try:
        write_claimed(claimed)
    except LeaseLostError:
        logger.warning("statement %s went to another worker", statement_id)
        return False
    except BrokenChainError as error:
        logger.exception("statement %s", statement_id)
        lifecycle.release(claimed, state="failed", error=f"Not written: {error}.")
        return False
    except BaseException as error:
        error_name = type(error).__name__
        lifecycle.release(claimed, state="pending", error=f"Interrupted: {error_name}.")
        raise
    return True


def write_claimed(claimed: Row[Any]) -> None:
    content = content_of(claimed, throttled(claimed))
    with files.writing(files.path_of(claimed)) as file:
        WRITERS[claimed.format](content, file)
    lifecycle.finish(
        claimed,
        keep=files.keep(),
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        opening_balance=content.opening,
        closing_balance=content.closing,
    )


def content_of(
    statement: Pinned | Row[Any], note_progress: Callable[[int], None]
) -> Content:
    """What the statement shows, its entries still to be read."""
    span = statement.wallet_id, statement.after_seq, statement.last_seq
    around = balances(*span)
    return Content(
        wallet_uuid=statement.wallet_uuid,
        currency=statement.currency,
        from_at=statement.from_at,
        to_at=statement.to_at,
        opening=around.opening,
        closing=around.closing,
        opening_held=around.opening_held,
        closing_held=around.closing_held,
        count=statement.last_seq - statement.after_seq,
        chunks=read_chunks(*span, note_progress=note_progress),
        note_progress=note_progress,
    )


def throttled(claimed: Row[Any]) -> Callable[[int], None]:
    """Notes progress, and so keeps the lease, once a second at most."""
    noted_at = time.monotonic()

    def note(rows: int) -> None:
        nonlocal noted_at
        if time.monotonic() - noted_at >= PROGRESS_INTERVAL_S:
            lifecycle.note_progress(claimed, rows)
            noted_at = time.monotonic()

    return note


def expire() -> int:
    """Delete files whose time is over or that nobody wants; return how many expired."""
    expired = lifecycle.expire()
    files.delete(expired)
    strays = files.strays()
    wanted = lifecycle.ready_among(list(strays))
    files.delete([one for one in strays if one not in wanted])
    return len(expired)
