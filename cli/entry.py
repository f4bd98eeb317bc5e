"""What commands do before their own work: check texts and settings, enter the data folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import BAD_USAGE, CommandError

if TYPE_CHECKING:
    from core.settings import Settings

Home = Annotated[Path | None, typer.Option(help="Folder for everything that lasts.")]


def check_texts(values: Mapping[str, object]) -> None:
    """Raises CommandError for a text that is not UTF-8: its bytes came as surrogates."""
    for name, value in values.items():
        if isinstance(value, str) and not _is_utf8(value):
            raise CommandError(
                f"{name}: is not valid UTF-8. Check the encoding of the terminal.", BAD_USAGE
            )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def override(name: str, value: object) -> None:
    """Override an option's variable, for this process and its children."""
    if value is not None:
        check_texts({name: value})
        os.environ[name] = str(value)


def check_settings() -> Settings:
    """Returns the settings. CommandError names the variable that is invalid."""
    from pydantic import ValidationError

    from core.invalid import words
    from core.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"EASEL_{'__'.join(str(part) for part in each['loc']).upper()}: {words(each)}"
            for each in error.errors()
        )
        raise CommandError(f"the settings cannot be read: {problems}.", BAD_USAGE) from None


def enter_home(home: Path | None) -> None:
    """Enter the data folder that an option names, else that of the settings."""
    override("EASEL_HOME", home and home.expanduser().absolute())
    enter_data_folder()


def enter_data_folder() -> None:
    """For the commands that work on the data folder. CommandError as ``check_settings``.

    `generate` and `bulk` write what the user asked for, where and with the umask of the user.
    """
    from core.private_files import keep_private
    from core.working_folder import leave_working_folder

    settings = check_settings()
    keep_private(settings.home)
    leave_working_folder(settings)


def run_command(command: Coroutine[Any, Any, int]) -> None:
    """Run a command to its exit code, and exit with it."""
    raise typer.Exit(asyncio.run(command))
