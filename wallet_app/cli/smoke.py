"""`flask wallet smoke`: walk through the API of a running service."""

import click

from wallet_app.cli import output
from wallet_app.cli.http_client import HttpClient, NoAnswer, is_http_url
from wallet_app.cli.smoke_checks import Unexpected, Walk
from wallet_app.cli.smoke_steps import STEPS, Step
from wallet_app.config import API_KEY_NAME

MAX_SHOWN = 300


def read_url(_: click.Context, __: click.Parameter, url: str) -> str:
    if not is_http_url(url):
        raise click.BadParameter("Give a URL such as http://localhost:8000.")
    return url


@click.command("smoke")
@click.option(
    "--url",
    default="http://localhost:8000",
    show_default=True,
    callback=read_url,
    help="Where the service runs.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 60, min_open=True),
    default=10,
    show_default=True,
    help="Seconds that one answer may take.",
)
@click.option(
    "--key",
    envvar=API_KEY_NAME,
    show_envvar=True,
    help="An API key, where the service asks for one.",
)
def smoke_command(url: str, timeout_s: float, key: str | None) -> None:
    """Walk through the API of a running service.

    Creates a wallet of its own and moves money in it. Exit code 1: a step failed.
    """
    walk = Walk(HttpClient(url, timeout_s, key=key))
    failed = 0
    for name, step in STEPS:
        try:
            failure = run(step, walk)
        except NoAnswer as error:
            # The next steps would wait for their time-outs one after the other.
            output.text(f"FAIL {name}: no answer to {error}")
            raise click.ClickException(f"{url} does not answer.") from error
        failed += failure is not None
        output.text(f"FAIL {name}: {failure}" if failure else f"ok   {name}")
    if failed:
        raise click.ClickException(f"{failed} of {len(STEPS)} steps failed at {url}.")
    output.text(f"All {len(STEPS)} steps passed.")


def run(step: Step, walk: Walk) -> str | None:
    """Run a step; return what went wrong, or None."""
    try:
        step(walk)
    except Unexpected as error:
        return output.printable(str(error))[:MAX_SHOWN]
    except (
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
    ) as error:
        return f"expected another form of body, got {error!r}"[:MAX_SHOWN]
    return None
