"""How far a prompt is."""

from __future__ import annotations

from comfy import build_graph
from comfy.graph import Graph, Node
from comfy.messages import ExecutionCached, ProgressState, StepProgress, parse
from comfy.progress import ProgressMeter
from tests.comfy.data import recorded_messages, resolved

PROMPT_ID = "5639d90e-28a5-4d05-a345-87b00e8a3451"
SAMPLER = "5"


def meter(steps: int = 10) -> ProgressMeter:
    return ProgressMeter(build_graph(resolved(steps=steps), PROMPT_ID))


def test_sampler_steps_dominate() -> None:
    reading = meter()
    reading.executing("1")
    reading.executing(SAMPLER)
    before = reading.reading()
    reading.step(SAMPLER, 5, 10)
    after = reading.reading()
    assert before.percent < 5
    assert 40 < after.percent < 60
    assert (after.step, after.steps) == (5, 10)
    assert (after.node, after.node_class) == (SAMPLER, "KSampler")


def test_it_never_falls_and_only_the_end_is_100() -> None:
    reading = meter()
    reading.step(SAMPLER, 9, 10)
    high = reading.reading().percent
    reading.step(SAMPLER, 1, 10)
    assert reading.reading().percent == high
    reading.cached(["1", "2", "3", "4", "5", "6", "7"])
    assert high < reading.reading().percent < 100
    assert reading.completed().percent == 100


def test_cached_nodes_are_done_and_foreign_nodes_weigh_nothing() -> None:
    reading = meter()
    reading.cached(["1", "2", "99"])
    reading.executing("1.0.0.3")
    reading.step("1.0.0.3", 1, 2)
    assert reading.reading().nodes_done == 2
    assert reading.reading().node_class is None


def test_odd_numbers_do_no_harm() -> None:
    reading = meter()
    for value, maximum in ((0, 0), (5, -1), (20, 10), (-3, 10)):
        reading.step(SAMPLER, value, maximum)
        assert 0 <= reading.reading().percent < 100


def test_a_recorded_run_rises_step_by_step() -> None:
    classes = {"3": "KSampler", "4": "CheckpointLoaderSimple", "5": "EmptyLatentImage"}
    nodes = {node: Node(classes.get(node, "Other"), {}) for node in "456789"}
    reading = ProgressMeter(Graph({**nodes, "3": Node("KSampler", {"steps": 4})}))
    percents = []
    for line in recorded_messages("txt2img"):
        match parse(line):
            case ExecutionCached() as message:
                reading.cached(message.nodes)
            case ProgressState() as message:
                reading.state(message)
            case StepProgress() as message:
                reading.step(message.node, message.value, message.max)
        percents.append(reading.reading().percent)
    assert percents == sorted(percents)
    assert len(set(percents)) >= 8
    assert percents[-1] == 99.9
