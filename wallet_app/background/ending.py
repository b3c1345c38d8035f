"""Tells the processes of a worker that it is about to end: long tasks come to an end.

A byte that parent and forked processes share, without a lock that one that is killed
could keep.
"""

import mmap

flag = mmap.mmap(-1, 1)


def announce() -> None:
    """For the parent, when it is asked to end."""
    flag[0] = 1


def is_near() -> bool:
    """Whether the worker has been asked to end."""
    return flag[0] == 1
