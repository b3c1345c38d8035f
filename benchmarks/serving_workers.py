"""gunicorn's worker without one of its parts; gunicorn's master imports this."""

from serving.balance import Balanced
from serving.idle_ends import IdleEnds
from serving.slow_clients import SlowClients
from serving.turns import Turns


class NotBalanced(IdleEnds, Turns, SlowClients):
    pass


class NoDeadlines(Balanced, IdleEnds, Turns):
    pass


class NoIdleEnds(Balanced, Turns, SlowClients):
    pass


class NoTurns(Balanced, IdleEnds, SlowClients):
    pass
