"""The tasks behind imports; the table knows what is left to do."""

from uuid import UUID

from wallet_app.background import hints
from wallet_app.background.tasks import task
from wallet_app.imports import lifecycle, storing, worker

# Then whoever else waits in the queue has his turn: a statement, another import.
TURN_S = 30.0


@task()
def post_import(import_id: str) -> None:
    """Post an import for a while, unless somebody else does."""
    if not worker.run(UUID(import_id), seconds=TURN_S):
        hints.send(hints.POST_IMPORT, import_id)


@task()
def resume_imports() -> None:
    """Send hints for imports that wait, or whose worker is gone."""
    for import_id in lifecycle.due(worker.keep()):
        if not hints.send(hints.POST_IMPORT, str(import_id)):
            break


@task()
def clean_up_imports() -> None:
    """Delete what is kept no more, and what was never received to its end."""
    lifecycle.expire()
    storing.forget_unreceived()
