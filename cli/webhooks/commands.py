"""The commands of `easel webhooks`. What they do is imported when they run."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.entry import Home, check_texts, enter_home, run_command

webhooks = typer.Typer(
    name="webhooks",
    help="Callbacks: signed events, sent to your receivers. Try it: `easel webhooks listen`.",
    no_args_is_help=True,
)


@webhooks.command()
def secret(
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Create another; the former stays valid beside it.")
    ] = False,
    retire: Annotated[
        bool, typer.Option("--retire", help="End the former one: only the newest stays valid.")
    ] = False,
    home: Home = None,
) -> None:
    """Print the secret that signs events, by which receivers verify them."""
    enter_home(home)
    from cli.webhooks.secret import secret as run

    run_command(run(rotate=rotate, retire=retire))


@webhooks.command()
def add(
    name: Annotated[str, typer.Argument(help="What requests and schedules call it.")],
    url: Annotated[
        str, typer.Argument(help="The receiver; - reads it from standard input, as a secret.")
    ],
    home: Home = None,
) -> None:
    """Store a callback, or give one of that name another URL."""
    check_texts({"name": name, "URL": url})
    enter_home(home)
    from cli.webhooks.stored import add as run

    run_command(run(name, _line_of_input("URL") if url == "-" else url))


@webhooks.command()
def remove(name: str, home: Home = None) -> None:
    """Remove a stored callback: nothing more is sent to it."""
    check_texts({"name": name})
    enter_home(home)
    from cli.webhooks.stored import remove as run

    run_command(run(name))


@webhooks.command()
def enable(
    name_or_url: Annotated[
        str, typer.Argument(metavar="NAME|URL", help="As `easel webhooks list` shows it.")
    ],
    home: Home = None,
) -> None:
    """Switch on again what was switched off because it answered 410."""
    check_texts({"name or URL": name_or_url})
    enter_home(home)
    from cli.webhooks.stored import enable as run

    run_command(run(name_or_url))


@webhooks.command("list")
def list_(
    state: Annotated[
        str | None, typer.Option(help="Only pending, delivered, failed or dropped ones.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those of a generation.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those of a batch and of its items.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="How many deliveries, the newest.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    home: Home = None,
) -> None:
    """List stored callbacks, addresses that are switched off, and deliveries."""
    check_texts({"state": state, "task": task, "batch": batch})
    enter_home(home)
    from cli.webhooks.listing import Wanted, show_list

    run_command(show_list(Wanted(limit, state, task, batch), as_json=as_json))


@webhooks.command()
def redeliver(
    delivery: Annotated[
        str, typer.Argument(metavar="ID", help="Of a delivery: `easel webhooks list` shows it.")
    ],
    home: Home = None,
) -> None:
    """Send an event again, with the same id; one that waits for its next try is tried now."""
    check_texts({"ID": delivery})
    enter_home(home)
    from cli.webhooks.redeliver import redeliver as run

    run_command(run(delivery))


@webhooks.command("test")
def send_test(
    url_or_name: Annotated[
        str, typer.Argument(metavar="URL|NAME", help="A receiver, or a stored callback.")
    ],
    home: Home = None,
) -> None:
    """Send a signed test event as real ones are sent, and say what came of it."""
    check_texts({"URL or name": url_or_name})
    enter_home(home)
    from cli.webhooks.trial import send_test as run

    run_command(run(url_or_name))


@webhooks.command()
def listen(
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port [8780, else a free one].")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    secret: Annotated[
        str | None, typer.Option(metavar="whsec_…", help="What signs \\[this home's secret].")
    ] = None,
    home: Home = None,
) -> None:
    """Receive events here, verify and print them: for trying callbacks out."""
    check_texts({"host": host, "secret": secret})
    enter_home(home)
    from cli.webhooks.listen import Listening
    from cli.webhooks.listen import listen as run

    run_command(run(Listening(host, port, secret)))


def _line_of_input(name: str) -> str:
    """Returns a line of standard input. Raises CommandError if it is not UTF-8."""
    line = sys.stdin.buffer.readline().decode(errors="surrogateescape").strip()
    check_texts({name: line})
    return line
