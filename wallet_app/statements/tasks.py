"""The tasks behind statements; the table knows what is left to do."""

from typing import Any
from uuid import UUID

from wallet_app.background import hints
from wallet_app.background.tasks import task
from wallet_app.statements import lifecycle, writer

LIMITS: dict[str, Any] = {"soft_time_limit": 900, "time_limit": 960}


@task(**LIMITS)
def write_statement(statement_id: str) -> None:
    """Write the file of a statement, unless somebody else does."""
    writer.write(UUID(statement_id))


@task()
def resume_statements() -> None:
    """Send hints for statements that wait, or whose worker is gone."""
    for statement_id in lifecycle.due():
        if not hints.send(hints.WRITE_STATEMENT, str(statement_id)):
            break


@task()
def expire_statements() -> None:
    """Delete the files of statements whose time is over."""
    writer.expire()
