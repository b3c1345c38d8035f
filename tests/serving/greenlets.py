"""What greenlets see of PostgreSQL, at the URL given; prints it as JSON.

Run by `python -m gevent.monkey`, which patches first.
"""

import json
import os
import sys

import gevent
import psycopg
from psycopg import waiting

from serving import database_waits

database_waits.install()
URL = sys.argv[1]
LARGE = "x" * 1_000_000


def connect():
    return psycopg.connect(URL, autocommit=True)


def order():
    """In which order two statements come back."""
    ended = []

    def run(name, seconds):
        with connect() as connection:
            connection.execute("SELECT pg_sleep(%s)", [seconds])
            ended.append(name)

    gevent.joinall([gevent.spawn(run, "slow", 1), gevent.spawn(run, "quick", 0)])
    return ended


def large_pipeline():
    with connect() as connection, connection.pipeline():
        cursors = [connection.execute("SELECT %s::text", [LARGE]) for _ in range(20)]
        return sum(len(cursor.fetchone()[0]) for cursor in cursors)


def late():
    """What becomes of a wait whose time is over."""
    connection = connect()
    connection.pgconn.send_query(b"SELECT pg_sleep(20)")
    try:
        connection.wait(psycopg.generators.fetch(connection.pgconn), timeout=0.2)
    except psycopg.OperationalError as error:
        return str(error)
    finally:
        connection.close()


def terminated():
    """What a statement meets whose server process is ended."""
    connection = connect()

    def terminate():
        with connect() as other:
            other.execute("SELECT pg_terminate_backend(%s)", [pid])

    pid = connection.info.backend_pid
    gevent.spawn_later(0.2, terminate)
    try:
        connection.execute("SELECT pg_sleep(20)")
    except psycopg.OperationalError as error:
        return error.sqlstate


def closed():
    """What a wait for a socket meets that is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)

    def reads():
        yield waiting.WAIT_R

    try:
        waiting.wait(reads(), reader, timeout=5)
    except psycopg.OperationalError as error:
        return str(error)


found = [order(), large_pipeline(), late(), terminated(), closed()]
sys.stdout.write(json.dumps(found))
