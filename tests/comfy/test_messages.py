"""Frames of the websocket, recorded from a real server or broken on purpose."""

from __future__ import annotations

import io
import json
import struct
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comfy.messages import (
    Executed,
    Executing,
    ExecutionError,
    ExecutionStart,
    ExecutionSuccess,
    NodeProgress,
    OutputFile,
    PreviewFrame,
    ProgressState,
    Status,
    StepProgress,
    Unknown,
    parse,
)
from tests.comfy.data import recorded_bytes, recorded_messages


def say(kind: str, **data: Any) -> str:
    return json.dumps({"type": kind, "data": data})


def test_a_recorded_run() -> None:
    messages = [parse(line) for line in recorded_messages("txt2img")]
    assert None not in messages
    prompt_id = next(m.prompt_id for m in messages if isinstance(m, ExecutionStart))
    steps = [(m.value, m.max) for m in messages if isinstance(m, StepProgress)]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert ExecutionSuccess(prompt_id) in messages
    assert messages[-1] == Executing(prompt_id, None)
    assert OutputFile("t2i-meta_00001_.png", "", "output") in {
        image for m in messages if isinstance(m, Executed) for image in m.files
    }
    assert Counter(type(message) for message in messages)[Unknown] == 1  # feature_flags


def test_node_states() -> None:
    node = {"value": 2.0, "max": 4.0, "state": "running"}
    message = parse(say("progress_state", prompt_id="p", nodes={"3": node}))
    assert message == ProgressState("p", {"3": NodeProgress(2.0, 4.0, finished=False)})


def test_a_node_inside_a_subgraph_is_shown_as_the_node_we_sent() -> None:
    message = parse(say("executing", node="1.0.0.3", display_node="1", prompt_id="p"))
    assert message == Executing("p", "1")


def test_the_snapshot_after_a_reconnect_names_no_prompt() -> None:
    assert parse(say("executing", node="3")) == Executing(None, "3")


def test_a_blocked_execution_is_not_an_end() -> None:
    blocked = parse(say("execution_error", prompt_id="p", exception_type="ExecutionBlocked"))
    failed = parse(say("execution_error", prompt_id="p", exception_type="RuntimeError"))
    assert isinstance(blocked, ExecutionError)
    assert isinstance(failed, ExecutionError)
    assert (blocked.is_terminal, failed.is_terminal) == (False, True)


def test_outputs_of_other_kinds_are_passed_over() -> None:
    outputs: list[Any] = [None, {}, {"text": ["x"]}, {"images": None}, {"images": ["x", {}, None]}]
    for output in outputs:
        assert parse(say("executed", node="9", prompt_id="p", output=output)) == Executed(
            "p", "9", ()
        )


def test_status() -> None:
    message = parse(say("status", status={"exec_info": {"queue_remaining": 3}}, sid="x"))
    assert message == Status(3)


def test_both_kinds_of_pictures() -> None:
    legacy = parse(recorded_bytes("frame_legacy_png.bin"))
    modern = parse(recorded_bytes("frame_metadata_png.bin"))
    assert isinstance(legacy, PreviewFrame)
    assert isinstance(modern, PreviewFrame)
    assert (legacy.prompt_id, legacy.node) == (None, None)
    assert modern.prompt_id
    assert modern.node
    for frame in (legacy, modern):
        assert frame.content_type == "image/png"
        with Image.open(io.BytesIO(frame.data)) as picture:
            picture.load()


def test_text_frames_mean_nothing_to_us() -> None:
    assert parse(recorded_bytes("frame_text.bin")) == Unknown("binary 3")


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "no json",
        "[]",
        "null",
        "5",
        "{}",
        '{"type": ["x"]}',
        '{"type": "status"}',
        '{"type": "status", "data": []}',
        '{"type": "execution_start", "data": {"prompt_id": 5}}',
        '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {"3": null}}}',
        '{"type": "progress", "data": {"value": "x", "max": 1}}',
        '{"type": "progress", "data": {"value": NaN, "max": 1}}',
        '{"type": "progress", "data": {"value": 1, "max": Infinity}}',
        '{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1e400}}}}',
        "[" * 100_000,
        b"",
        b"\0\0",
        struct.pack(">I", 1),
        struct.pack(">II", 1, 99),
        struct.pack(">II", 4, 4_000_000_000) + b"{}",
        struct.pack(">II", 4, 2) + b"[]",
        struct.pack(">II", 4, 2) + b"{}",
        struct.pack(">II", 4, 2) + b"\xff\xff",
    ],
)
def test_garbled_frames_are_nothing(frame: str | bytes) -> None:
    assert parse(frame) is None


def test_unknown_messages_are_named() -> None:
    assert parse('{"type": "crystools.monitor", "data": {}}') == Unknown("crystools.monitor")


_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 2.5, float("nan"), "p", [], [None], {}, {"3": None}, {"3": {"value": "x"}}]
)
_KINDS = st.sampled_from(
    ["status", "executing", "executed", "progress", "progress_state", "execution_error"]
)
_DATA = st.dictionaries(
    st.sampled_from(["prompt_id", "node", "nodes", "value", "max", "status", "output"]), _VALUES
)


@given(st.binary(max_size=64) | st.builds(lambda kind, data: say(kind, **data), _KINDS, _DATA))
def test_the_reader_survives_anything(frame: str | bytes) -> None:
    parse(frame)
