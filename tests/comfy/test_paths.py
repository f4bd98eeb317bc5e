"""Paths of ComfyUI's machine in its messages."""

from __future__ import annotations

import pytest

from comfy.answers import rejection
from comfy.messages import execution_error
from comfy.paths import without_folders

DETECT = "Could not detect model type of: "


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"{DETECT}/srv/comfy/models/checkpoints/x.safetensors", f"{DETECT}x.safetensors"),
        (f"{DETECT}/srv/Ann Lee/models/my model.safetensors", f"{DETECT}my model.safetensors"),
        (f"{DETECT}C:\\Users\\Ann Lee\\ComfyUI\\models\\x.pt", f"{DETECT}x.pt"),
        (r"No such file: 'D:\\ComfyUI\\models\\x.pt'", "No such file: 'x.pt'"),
        (r"\\server\share\models\x.pt is gone", "x.pt is gone"),
        ("[Errno 2] No such file: '/srv/a/vae.pt'", "[Errno 2] No such file: 'vae.pt'"),
        ("one line\n/opt/comfy/nodes.py, line 3", "one line\nnodes.py, line 3"),
        ("model:/models/x.pt", "model:x.pt"),
        ("see https://github.com/a/b/issues/1", "see https://github.com/a/b/issues/1"),
        ("1/2 of and/or sub/folder/x.pt", "1/2 of and/or sub/folder/x.pt"),
    ],
)
def test_the_folders_go_and_the_name_stays(said: str, shown: str) -> None:
    assert without_folders(said) == shown


def test_errors_of_nodes_and_rejections_show_no_folders() -> None:
    path = "/srv/comfy/models/x.safetensors"
    error = execution_error({"exception_message": f"cannot read {path}"})
    assert error.message == "cannot read x.safetensors"
    body = {"error": {"type": "t", "message": f"cannot read {path}", "details": path}}
    assert rejection(body)[0] == "cannot read x.safetensors: x.safetensors"
