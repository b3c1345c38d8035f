"""gunicorn's worker without one of its parts; gunicorn's master imports this."""

from serving.idle_ends import IdleEnds
from serving.slow_clients import SlowClients
from serving.turns import Turns
from serving.whole_responses import WholeResponses


class NotWhole(IdleEnds, Turns, SlowClients):
    pass


class NoDeadlines(IdleEnds, Turns, WholeResponses):
    pass


class NoIdleEnds(Turns, SlowClients, WholeResponses):
    pass


class NoTurns(IdleEnds, SlowClients, WholeResponses):
    pass
