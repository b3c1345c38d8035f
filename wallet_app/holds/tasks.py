"""The task that tidies holds up; it may be lost, doubled or killed."""

from wallet_app.background.tasks import task
from wallet_app.holds import tidying

RUN_S = 5.0


@task()
def tidy() -> None:
    """Release overdue holds for a while."""
    tidying.tidy_for(RUN_S)
