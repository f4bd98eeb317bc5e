"""The commands of `easel models`. What they do is imported when they run."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.entry import check_texts, run_command

models = typer.Typer(
    name="models",
    help="The model files that ComfyUI has, and of which family each is.",
    invoke_without_command=True,
)
_Api = Annotated[str | None, typer.Option(envvar="EASEL_API_URL", help="Easel's address.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Folder = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="One of ComfyUI's folders, such as loras.")
]


@models.callback()
def list_(
    context: typer.Context, folder: _Folder = None, as_json: _Json = False, api: _Api = None
) -> None:
    """The model files that ComfyUI has, of which family each is, and how that is known."""
    if context.invoked_subcommand is not None:
        return
    check_texts({"--folder": folder})
    from cli.models.listing import list_all as run
    from cli.up.running import api_url

    run_command(run(api_url(api), folder, as_json=as_json))


@models.command("set")
def set_(
    name: Annotated[str, typer.Argument(help="As `easel models` has it.")],
    folder: _Folder = None,
    family: Annotated[
        str | None,
        typer.Option(metavar="FAMILY", help="What it is, such as sdxl; of a LoRA, what it fits."),
    ] = None,
    text_encoders: Annotated[
        list[str] | None,
        typer.Option(
            "--text-encoder", metavar="NAME", help="To load beside a model. May be repeated."
        ),
    ] = None,
    vae: Annotated[str | None, typer.Option(metavar="NAME", help="To load beside a model.")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Take back all that was said.")] = False,
    as_json: _Json = False,
    api: _Api = None,
) -> None:
    """Say what a file is: that counts before all that the file says. What is not given stays."""
    check_texts({"name": name, "--folder": folder, "--family": family, "--vae": vae})
    check_texts({"--text-encoder": " ".join(text_encoders or ())})
    from cli.models.setting import Wanted
    from cli.models.setting import set_model as run
    from cli.up.running import api_url

    wanted = Wanted(name, folder, family, tuple(text_encoders or ()), vae, unset)
    run_command(run(api_url(api), wanted, as_json=as_json))
