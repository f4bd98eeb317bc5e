"""The commands of `easel workflows`. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.entry import check_texts, run_command

workflows = typer.Typer(
    name="workflows",
    help="What requests can name in `workflow`: the built-in ones, and your own.",
    no_args_is_help=True,
)
_Api = Annotated[str | None, typer.Option(envvar="EASEL_API_URL", help="Easel's address.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Name = Annotated[str, typer.Argument(help="As `easel workflows list` has it.")]


@workflows.command("list")
def list_(as_json: _Json = False, api: _Api = None) -> None:
    """List all workflows."""
    from cli.up.running import api_url
    from cli.workflows.listing import list_all as run

    run_command(run(api_url(api), as_json=as_json))


@workflows.command()
def show(name: _Name, as_json: _Json = False, api: _Api = None) -> None:
    """Show the inputs of a workflow, as `easel generate --set` takes them."""
    check_texts({"name": name})
    from cli.up.running import api_url
    from cli.workflows.listing import show as run

    run_command(run(api_url(api), name, as_json=as_json))


@workflows.command()
def sources(as_json: _Json = False, api: _Api = None) -> None:
    """List what Easel ships, and what ComfyUI offers: saved workflows, templates, blueprints."""
    from cli.up.running import api_url
    from cli.workflows.listing import list_sources as run

    run_command(run(api_url(api), as_json=as_json))


@workflows.command()
def add(
    file: Annotated[
        str,
        typer.Argument(
            help="A workflow of ComfyUI, or an image or video that carries one; - for standard "
            "input; or a name of `easel workflows sources`, such as wan22-t2v or template:NAME."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The name to give it.")] = None,
    title: Annotated[str | None, typer.Option(help="The title to give it.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="A field to declare: 6.text=prompt. May be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only tell what would be added.")] = False,
    as_json: _Json = False,
    api: _Api = None,
) -> None:
    """Add a workflow: its inputs are proposed, and what it lacks is told."""
    check_texts({"file": file, "--name": name, "--title": title})
    check_texts({"--input": " ".join(inputs or ())})
    from cli.up.running import api_url
    from cli.workflows.adding import Adding
    from cli.workflows.adding import add as run

    wanted = Adding(file, name, title, tuple(inputs or ()), dry_run)
    run_command(run(api_url(api), wanted, as_json=as_json))


@workflows.command()
def edit(
    name: _Name,
    from_: Annotated[
        Path | None,
        typer.Option("--from", dir_okay=False, help="The declaration (JSON), in place of $EDITOR."),
    ] = None,
    api: _Api = None,
) -> None:
    """Change the title, inputs, outputs or mapping of a workflow: a new version of it."""
    check_texts({"name": name})
    from cli.up.running import api_url
    from cli.workflows.adding import edit as run

    run_command(run(api_url(api), name, from_))


@workflows.command()
def export(
    name: _Name,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="The file; standard output without it.")
    ] = None,
    api: _Api = None,
) -> None:
    """Write a workflow as a file that another Easel can import."""
    check_texts({"name": name})
    from cli.up.running import api_url
    from cli.workflows.files import export as run

    run_command(run(api_url(api), name, out))


@workflows.command()
def remove(name: _Name, api: _Api = None) -> None:
    """Remove a workflow: what uses it goes on."""
    check_texts({"name": name})
    from cli.up.running import api_url
    from cli.workflows.files import remove as run

    run_command(run(api_url(api), name))
