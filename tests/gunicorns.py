"""A real gunicorn that serves the application, with two workers."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
from ops import wait_until

ROOT = Path(__file__).parents[1]
KEPT = {"WALLET_WORKERS": "2"}


class Gunicorn:
    """`gunicorn wsgi:app` on a port of its own."""

    def __init__(self, log, environment):
        self.log = log
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("WALLET_")}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn"),
                    *("--bind", f"127.0.0.1:{self.port}", "wsgi:app"),
                ],
                cwd=ROOT,
                env=kept | KEPT | environment,
                stdout=output,
                stderr=output,
            )

    def workers(self):
        return [one.pid for one in psutil.Process(self.process.pid).children()]

    def call(self, method, path, body=None, **headers):
        """Each call comes over a connection of its own, to whichever worker."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with closing(client):
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            client.request(
                method,
                path,
                None if body is None else json.dumps(body),
                {"Content-Type": "application/json"} | names,
            )
            answer = client.getresponse()
            return answer.status, answer.read().decode()

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.call("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def wait_for_workers(self, gone=()):
        """Wait until two workers serve, none of which is `gone`."""

        def both_serve():
            pids = self.workers()
            return len(pids) == 2 and not set(pids) & set(gone) and self.answers()

        wait_until(both_serve, 60)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(40)
