"""The tasks behind webhooks; the tables know what is left to do."""

import random
from typing import Any

from wallet_app.background.tasks import task
from wallet_app.webhooks import cleaning, delivering

RUN_S = 600.0
# What is being sent at the end of a run is waited for.
LIMITS: dict[str, Any] = {"soft_time_limit": 700, "time_limit": 760}


@task(**LIMITS)
def deliver() -> None:
    """Deliver for a while; two processes do not end it at the same time."""
    delivering.deliver_for(RUN_S * random.uniform(0.5, 1))  # noqa: S311


@task()
def clean_up() -> None:
    """Forget deliveries that are over."""
    cleaning.clean_up()
