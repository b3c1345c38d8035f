"""The worker, put together of its parts."""

from serving.idle_ends import IdleEnds
from serving.slow_clients import SlowClients
from serving.turns import Turns
from serving.whole_responses import WholeResponses


class Worker(IdleEnds, Turns, SlowClients, WholeResponses):
    """gunicorn's gevent worker, for clients that come without a proxy."""
