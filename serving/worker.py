"""The worker, put together of its parts."""

from serving.balance import Balanced
from serving.idle_ends import IdleEnds
from serving.refusals import Refusals
from serving.slow_clients import SlowClients
from serving.turns import Turns


class Worker(Balanced, IdleEnds, Turns, SlowClients, Refusals):
    """gunicorn's gevent worker, for clients that come without a proxy."""

    def patch(self) -> None:
        """Also what psycopg waits with; it looks whether gevent is there already."""
        super().patch()
        from serving import database_waits  # noqa: PLC0415

        database_waits.install()
