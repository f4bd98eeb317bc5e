from __future__ import annotations

import pytest

from api.batches.documents import CountsDocument
from core.status import Status
from store.values import Waiting
from web.batches.bar import shares
from web.parts.service import state_words

AWAY = Waiting("waiting_for_comfyui", "ComfyUI does not answer.")


@pytest.mark.parametrize(
    ("waiting", "counts", "words"),
    [
        (None, {}, "Ready"),
        (None, {"running": 1, "queued": 2}, "Rendering · 2 queued"),
        (AWAY, {"running": 1, "queued": 1_200}, "Waiting for ComfyUI · 1,200 queued"),
        (AWAY, {}, "Waiting for ComfyUI"),
    ],
)
def test_the_header_says_how_it_stands(
    waiting: Waiting | None, counts: dict[Status, int], words: str
) -> None:
    assert state_words(waiting, counts) == words


def test_what_only_waits_is_no_part_of_a_batchs_bar() -> None:
    counts = CountsDocument(
        waiting=4, queued=7, running=1, cancelling=0, succeeded=0, failed=0, cancelled=0, deleted=0
    )
    assert shares(counts, 12) == pytest.approx(
        {"succeeded": 0, "failed": 0, "cancelled": 0, "running": 100 / 12}
    )
