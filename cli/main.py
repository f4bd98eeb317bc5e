"""The commands and their options. What they do is imported when they run."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from cli.addresses import http_address
from cli.console import BAD_USAGE, CommandError, close_streams, open_streams, report_failure
from cli.entry import (
    Home,
    check_texts,
    enter_data_folder,
    enter_home,
    override,
    run_command,
)
from cli.models.commands import models
from cli.webhooks.commands import webhooks
from cli.workflows.commands import workflows

# Neither Prefect nor anything else that a command imports reports its use to other machines.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

app = typer.Typer(
    name="easel",
    help="Generates images with ComfyUI: queued, kept and findable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(webhooks)
app.add_typer(workflows)
app.add_typer(models)

_Port = Annotated[int | None, typer.Option(min=1, max=65_535, help="Port of the API [8700].")]
_Host = Annotated[
    str | None, typer.Option(help="Address Easel listens on; 0.0.0.0 for all [127.0.0.1].")
]
_TakeOver = Annotated[
    UUID | None,
    typer.Option(metavar="STORE", help="Take over the work pool of this store, which is gone."),
]
_Workflow = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A workflow, as `easel workflows list` has it \\[txt2img]."),
]
_CallbackUrl = Annotated[
    str | None,
    typer.Option("--callback-url", metavar="URL", help="Send signed events to this receiver."),
]
_Callback = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Send them to a stored callback (`easel webhooks add`)."),
]
_CallbackEvents = Annotated[
    list[str] | None,
    typer.Option(
        "--callback-event",
        metavar="EVENT",
        help="An event to send, such as generation.running; repeat it for more \\[the ends].",
    ),
]


def main() -> None:
    """The entry point: expected failures are a paragraph, not a traceback."""
    open_streams()
    try:
        app()
    except CommandError as error:
        report_failure(str(error))
        sys.exit(error.exit_code)
    finally:
        close_streams()


def _finite(value: float | None) -> float | None:
    """Returns an option's number: JSON has neither NaN nor infinity."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("must be a finite number")
    return value


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"easel {version('easel')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Generate images with ComfyUI: queued, kept and findable."""


@app.command()
def up(
    home: Home = None,
    port: _Port = None,
    prefect_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port of the Prefect server [4200].")
    ] = None,
    comfy_url: Annotated[
        str | None,
        typer.Option(envvar="EASEL_COMFY__URL", help="ComfyUI's address; an emulator without one."),
    ] = None,
    host: _Host = None,
    prefect_host: Annotated[
        str | None,
        typer.Option(
            help="Address the Prefect server listens on, whatever --host says [127.0.0.1]."
        ),
    ] = None,
    step_time: Annotated[
        float | None,
        typer.Option(min=0, callback=_finite, help="Seconds per step in the emulator."),
    ] = None,
    take_over: _TakeOver = None,
) -> None:
    """Start everything, and keep it running until Ctrl+C."""
    override("EASEL_PREFECT__TAKE_OVER", take_over)
    override("EASEL_HOME", home and home.expanduser().absolute())
    override("EASEL_API__PORT", port)
    override("EASEL_API__HOST", host)
    override("EASEL_PREFECT__HOST", prefect_host)
    override("EASEL_PREFECT__PORT", prefect_port)
    override("EASEL_COMFY__URL", comfy_url and http_address(comfy_url))
    enter_data_folder()
    from cli.up.command import up as run

    run_command(run(step_time))


@app.command()
def api(host: _Host = None, port: _Port = None) -> None:
    """Run the API alone."""
    override("EASEL_API__HOST", host)
    override("EASEL_API__PORT", port)
    enter_data_folder()
    from cli.up.alone import run_api

    run_api()


@app.command()
def worker(
    pool: Annotated[
        str | None, typer.Option(help="The work pool \\[the one that prefect.yaml names].")
    ] = None,
    take_over: _TakeOver = None,
) -> None:
    """Run a worker alone: one for each ComfyUI."""
    override("EASEL_PREFECT__TAKE_OVER", take_over)
    enter_data_folder()
    from cli.up.alone import run_worker

    run_worker(pool)


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    },
    add_help_option=False,
)
def emulator(context: typer.Context) -> None:
    """Run the ComfyUI emulator alone (`easel emulator --help` lists its options)."""
    from cli.up.alone import run_emulator

    run_emulator(context.args)


@app.command()
def doctor(
    home: Home = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check everything that Easel needs, and say how to fix what is missing."""
    enter_home(home)
    from cli.doctor.command import doctor as run

    run_command(run(as_json=as_json))


@app.command()
def audit(
    home: Home = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove orphaned files and those of interrupted saves.")
    ] = False,
    checksums: Annotated[
        bool, typer.Option("--checksums", help="Read every image, and compare its SHA-256.")
    ] = False,
    settle: Annotated[
        float,
        typer.Option(
            min=0,
            callback=_finite,
            help="Seconds: younger files are left alone.",
        ),
    ] = 300.0,
) -> None:
    """Compare the stored files with the database: missing, orphaned and half-written ones."""
    enter_home(home)
    from cli.doctor.audit import audit as run

    run_command(run(repair=repair, checksums=checksums, settle_s=settle))


@app.command()
def generate(
    prompt: Annotated[str | None, typer.Argument(help="Describes the image.")] = None,
    workflow: _Workflow = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An input of the workflow (`easel workflows show NAME`), such as "
            "loras=film:0.8, hires.scale=2 or init_image=@file.png; @folder/ is a batch, a row "
            "for each image. Repeat it for more.",
        ),
    ] = None,
    negative: Annotated[str | None, typer.Option(help="What to keep out of the image.")] = None,
    model: Annotated[str | None, typer.Option(help="A checkpoint's file name.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels, a multiple of 8.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels, a multiple of 8.")] = None,
    steps: Annotated[int | None, typer.Option()] = None,
    cfg: Annotated[
        float | None, typer.Option(callback=_finite, help="How strongly to follow the prompt.")
    ] = None,
    sampler: Annotated[str | None, typer.Option()] = None,
    scheduler: Annotated[str | None, typer.Option()] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="The same seed gives the same image; -1 or none draws one."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many images.")] = 1,
    priority: Annotated[str | None, typer.Option(help="interactive or bulk.")] = None,
    timeout: Annotated[int | None, typer.Option(help="Seconds ComfyUI may take.")] = None,
    callback_url: _CallbackUrl = None,
    callback: _Callback = None,
    callback_event: _CallbackEvents = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path(),
    api: Annotated[
        str | None, typer.Option(envvar="EASEL_API_URL", help="Easel's address.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Generate images and save them here."""
    from cli.generate.command import Order
    from cli.generate.command import generate as run

    if prompt is None and workflow is None and not settings:
        raise CommandError('say what to draw: easel generate "a red fox"', BAD_USAGE)
    given = {
        "prompt": prompt,
        "negative_prompt": negative,
        "model": model,
        "width": width,
        "height": height,
        "steps": steps,
        "cfg": cfg,
        "sampler": sampler,
        "scheduler": scheduler,
        "seed": _seed(seed),
        "priority": priority,
        "timeout_s": timeout,
        **_callback(callback_url, callback, callback_event),
    }
    values = {name: value for name, value in given.items() if value is not None}
    check_texts({**values, "workflow": workflow, "--set": "\n".join(settings or [])})
    from cli.up.running import api_url

    url = api_url(api)
    run_command(run(Order(values, count, out, url, as_json, workflow, tuple(settings or ()))))


@app.command()
def bulk(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            help="Rows in .csv, .jsonl or .ndjson; or a batch's request in .json.",
        ),
    ],
    workflow: _Workflow = None,
    name: Annotated[
        str | None, typer.Option(help="The batch's name; the file's without it.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Images per row without a count.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Wildcards and seeds follow from it; -1 or none draws one."),
    ] = None,
    max_in_flight: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Jobs queued or running at a time [8]."),
    ] = None,
    stop_after_failures: Annotated[
        int | None, typer.Option(min=1, help="Stop the batch after this many failures.")
    ] = None,
    stop_at_failure_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Stop the batch at this share of failures."),
    ] = None,
    not_after: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="Stop starting at this time of day.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="TZ", help="Time zone of --not-after \\[the server's].")
    ] = None,
    vary_seed: Annotated[
        bool, typer.Option("--vary-seed", help="Draw a seed for each cell of a grid.")
    ] = False,
    no_wildcards: Annotated[
        bool, typer.Option("--no-wildcards", help="Do not expand {a|b} and __list__.")
    ] = False,
    callback_url: _CallbackUrl = None,
    callback: _Callback = None,
    callback_event: _CallbackEvents = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip rows with problems.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write the rows with problems to this file, as CSV."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be generated; create nothing.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the images; without it they stay in Easel.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Create a new batch, even if the file was given before.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait until the batch has ended.")
    ] = False,
    api: Annotated[
        str | None, typer.Option(envvar="EASEL_API_URL", help="Easel's address.")
    ] = None,
) -> None:
    """Generate many images from a file; the same command continues where it stopped."""
    from cli.bulk.command import Bulk
    from cli.bulk.command import bulk as run
    from cli.bulk.order import BatchOrder

    given = {
        "workflow": workflow,
        "name": name,
        "count": count,
        "seed": _seed(seed),
        "vary_seed": True if vary_seed else None,
        "wildcards": False if no_wildcards else None,
        "max_in_flight": max_in_flight,
        "stop_after_failures": stop_after_failures,
        "stop_at_failure_share": stop_at_failure_share,
        "not_after": not_after,
        "timezone": timezone,
        **_callback(callback_url, callback, callback_event),
    }
    options = {name: value for name, value in given.items() if value is not None}
    check_texts(options)
    from cli.up.running import api_url

    url = api_url(api)
    order = BatchOrder(file, options, skip_bad=skip_bad, again=again)
    run_command(run(Bulk(order, url, out, report, dry_run=dry_run, wait=not no_wait)))


def _callback(url: str | None, name: str | None, events: list[str] | None) -> dict[str, object]:
    """Returns the fields of a callback; those not given are None."""
    for event in events or []:
        check_texts({"callback_events": event})
    return {"callback_url": url, "callback": name, "callback_events": events or None}


def _seed(seed: int | None) -> int | None:
    """Returns the seed; -1 is one to be drawn. CommandError if it is none."""
    from core.fields import check_seed

    try:
        return None if seed is None else check_seed(seed)
    except ValueError as error:
        raise CommandError(f"seed: {error}", BAD_USAGE) from error


if __name__ == "__main__":
    main()
