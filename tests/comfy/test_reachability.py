"""What users read while a ComfyUI cannot be used."""

from __future__ import annotations

import pytest

from comfy.client import ComfyClient
from comfy.errors import ComfyUnreachableError
from comfy.reachability import away_words
from tests.harness.processes import free_port

BACK = "Your queue is safe; it continues when ComfyUI is back."


async def test_a_refused_connection_needs_no_more_words() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    client = ComfyClient(url)
    with pytest.raises(ComfyUnreachableError) as refused:
        await client.system_stats()
    await client.aclose()

    said = away_words(url, str(refused.value))

    assert said == f"ComfyUI at {url.removeprefix('http://')} isn't answering. {BACK}"


@pytest.mark.parametrize(
    ("url", "detail", "said"),
    [
        ("http://gpu:8188", None, f"ComfyUI at gpu:8188 isn't answering. {BACK}"),
        (
            "https://user:secret@gpu",
            "ComfyUI answered 502 to /queue",
            f"ComfyUI at https://gpu isn't answering (ComfyUI answered 502 to /queue). {BACK}",
        ),
    ],
)
def test_what_else_is_known_is_said(url: str, detail: str | None, said: str) -> None:
    assert away_words(url, detail) == said
