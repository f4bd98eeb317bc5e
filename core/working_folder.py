"""The folder that Easel's processes work in: one whose files are their user's alone.

Prefect reads settings from the folder in which a process starts (``prefect.toml``, ``.env``, a
table in ``pyproject.toml``). Such a setting can name code to import, a database, another server:
a folder of another project, or one that other accounts can write to, must not decide that.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from core.settings import Settings

_OF_THE_CODE: Final = Path(__file__).parent


def leave_working_folder(settings: Settings) -> None:
    """Change to the data folder; before there is one, to the folder of Easel's own code.

    Call it before Prefect is imported. Paths in the settings are absolute; from here on they are
    in the environment too, so that this process and its children read the same.
    """
    paths = {
        "EASEL_HOME": settings.home,
        "EASEL_COMFY__CA_FILE": settings.comfy.ca_file,
        "EASEL_STORE__URL": settings.store.url,
        "EASEL_STORE__IMAGES_URL": settings.store.images_url,
    }
    os.environ.update({name: str(path) for name, path in paths.items() if path is not None})
    try:
        os.chdir(settings.home)
    except OSError:  # not there yet, or the command will say what is wrong with it
        os.chdir(_OF_THE_CODE)
