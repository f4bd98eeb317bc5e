"""Messages find their prompt, in whatever order they come, and never pile up."""

from __future__ import annotations

import itertools

import pytest

from comfy import build_graph
from comfy.mailbox import Mailbox, Mailroom
from comfy.messages import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    Message,
    NodeProgress,
    OutputFile,
    PreviewFrame,
    ProgressState,
    Status,
    StepProgress,
)
from core.ids import OUTPUT_SUBFOLDER, output_filename
from tests.comfy.data import resolved

OURS = "5639d90e-28a5-4d05-a345-87b00e8a3451"
OTHER = "aaaaaaaa-28a5-4d05-a345-87b00e8a3451"
IMAGE = OutputFile(output_filename(OURS, 1), OUTPUT_SUBFOLDER, "output")


def run_of(prompt_id: str) -> list[Message]:
    return [
        ExecutionStart(prompt_id),
        ExecutionCached(prompt_id, ("1",)),
        Executing(prompt_id, "5"),
        ProgressState(prompt_id, {"5": NodeProgress(1, 2, finished=False)}),
        StepProgress(prompt_id, "5", 1, 2),
        PreviewFrame(prompt_id, "5", b"picture", "image/jpeg"),
        Executed(prompt_id, "7", (IMAGE,)),
        ExecutionSuccess(prompt_id),
        Executing(prompt_id, None),
    ]


def open_box(mailroom: Mailroom, prompt_id: str = OURS) -> Mailbox:
    return mailroom.open(prompt_id, build_graph(resolved(), prompt_id))


@pytest.mark.parametrize("shift", range(9))
def test_any_order_and_any_number_of_times(shift: int) -> None:
    mailroom = Mailroom()
    box = open_box(mailroom)
    messages = run_of(OURS)
    for message in itertools.chain(messages[shift:], messages[:shift], reversed(messages)):
        mailroom.sort(message)
    assert (box.started, box.ended, box.files) == (True, True, (IMAGE,))


def test_another_s_messages_do_nothing() -> None:
    mailroom = Mailroom()
    box = open_box(mailroom)
    for message in [*run_of(OTHER), Executing(None, "5"), StepProgress(None, "5", 1, 2)]:
        mailroom.sort(message)
    assert not box.news.is_set()


def test_a_status_is_for_everybody() -> None:
    mailroom = Mailroom()
    boxes = [open_box(mailroom), open_box(mailroom, OTHER)]
    mailroom.sort(Status(2))
    assert all(box.queue_changed and box.news.is_set() for box in boxes)


def test_a_preview_without_a_name_is_of_the_prompt_that_executes() -> None:
    mailroom = Mailroom()
    waiting, executing = open_box(mailroom), open_box(mailroom, OTHER)
    frame = PreviewFrame(None, None, b"picture", "image/jpeg")
    mailroom.sort(PreviewFrame(None, None, b"too early", "image/jpeg"))
    mailroom.sort(ExecutionStart(OTHER))
    assert not executing.preview
    mailroom.sort(frame)
    mailroom.sort(ExecutionStart(OURS))  # both: then nobody knows
    mailroom.sort(PreviewFrame(None, None, b"whose?", "image/jpeg"))
    assert [box.preview for box in (waiting, executing)] == [None, frame]


@pytest.mark.parametrize(
    ("message", "ends", "settles"),
    [
        (ExecutionError(OURS, "5", "KSampler", "", "ExecutionBlocked"), False, False),
        (ExecutionError(OURS, "5", "KSampler", "", "RuntimeError"), True, False),
        (ExecutionInterrupted(OURS, "5"), True, False),
        (ExecutionSuccess(OURS), True, False),
        (Executing(OURS, "5"), False, False),
        (Executing(OURS, None), True, True),
    ],
)
def test_what_is_an_end(message: Message, *, ends: bool, settles: bool) -> None:
    mailroom = Mailroom()
    box = open_box(mailroom)
    mailroom.sort(message)
    assert (box.ended, box.settled) == (ends, settles)


def test_files_of_another_name_are_not_ours() -> None:
    mailroom = Mailroom()
    box = open_box(mailroom)
    foreign = OutputFile(output_filename(OTHER, 1), OUTPUT_SUBFOLDER, "output")
    temporary = OutputFile(IMAGE.filename, OUTPUT_SUBFOLDER, "temp")
    mailroom.sort(Executed(OURS, "7", (foreign, temporary)))
    assert box.files == ()


def test_only_the_newest_preview_is_kept() -> None:
    mailroom = Mailroom()
    box = open_box(mailroom)
    for number in range(1000):
        mailroom.sort(PreviewFrame(OURS, "5", bytes([number % 256]), "image/jpeg"))
    assert box.preview == PreviewFrame(OURS, "5", bytes([999 % 256]), "image/jpeg")


def test_mailboxes_nobody_empties_do_not_pile_up() -> None:
    mailroom = Mailroom()
    tracked = open_box(mailroom)
    tracked.trackers += 1
    for number in range(1000):
        open_box(mailroom, f"{number:08}-28a5-4d05-a345-87b00e8a3451")
    assert open_box(mailroom) is tracked
    assert len(mailroom) < 300


def test_a_new_posting_begins_with_an_empty_mailbox() -> None:
    mailroom = Mailroom()
    workflow = build_graph(resolved(), OURS)
    mailroom.prepare(OURS, workflow)
    mailroom.sort(ExecutionSuccess(OURS))
    mailroom.prepare(OURS, workflow)
    assert not mailroom.open(OURS, workflow).ended
