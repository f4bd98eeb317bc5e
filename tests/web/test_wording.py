from __future__ import annotations

import pytest
from pydantic import ValidationError

from api.errors import ProblemError
from comfy import TXT2IMG
from core.problems import problem
from core.requests import GenerationRequest, read_request_of
from core.uploads import Reference
from flows.errors import InputGoneError, PaidUnknownError
from flows.problems import problem_of
from store.errors import ArtefactStoreError, DeletedError, StoreUnavailableError
from tests.browser.house import resolved
from tests.comfy.failures import ALL, an_example
from web.parts.wording import advice, explain, operation, sentence, subject, title
from web.workflows.wording import REASON_WORDS

UNKNOWN = advice(problem("internal_error", "what no generation ends with"), "")
FAILURES = [
    *map(an_example, ALL),
    InputGoneError(Reference("upload", "0" * 64)),
    PaidUnknownError(["FluxProNode"]),
    ArtefactStoreError("disk full"),
    RuntimeError("a bug"),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_there_is_advice_of_its_own_for_every_failure(error: Exception) -> None:
    advised = advice(problem_of(error), "some.safetensors")
    assert advised != UNKNOWN
    assert advised.endswith(".")


def test_out_of_memory_asks_for_a_smaller_size() -> None:
    assert "smaller size" in advice(problem("out_of_memory", ""), "")


def test_a_missing_model_is_named() -> None:
    assert "gone.safetensors" in advice(problem("workflow_rejected", ""), "gone.safetensors")


def test_errors_are_explained_by_their_own_detail() -> None:
    assert explain(ProblemError("not_ready", "the generation is queued")) == (
        "The generation is queued."
    )
    assert explain(DeletedError("x")) == "It was deleted."
    assert explain(StoreUnavailableError("database is locked")) == "Database is locked."
    assert "Easel's log" in explain(RuntimeError("secret"))
    with pytest.raises(ValidationError) as caught:
        read_request_of(GenerationRequest, {"prompt": " "}, TXT2IMG)
    assert explain(caught.value) == "Describe the image first."
    with pytest.raises(ValidationError) as caught:
        read_request_of(GenerationRequest, {"prompt": "a fox", "steps": 9999}, TXT2IMG)
    assert explain(caught.value) == "Steps must be a whole number from 1 to 150."


def test_titles_are_one_short_line() -> None:
    assert title("a\n b") == "a b"
    assert len(title("x" * 500)) == 80


@pytest.mark.parametrize(
    "reason", ["muted", "bypassed", "page_only", "viewer", "unused", "constant", "group_node"]
)
def test_there_are_words_for_why_a_node_is_left_out(reason: str) -> None:
    assert REASON_WORDS[reason]


def test_what_has_no_prompt_is_called_by_what_was_done() -> None:
    upscaled = resolved("").model_copy(update={"workflow": "upscale"})
    assert (subject(upscaled), operation(upscaled)) == ("Upscale", "")
    inpainted = resolved("a fox").model_copy(update={"workflow": "inpaint"})
    assert (subject(inpainted), operation(inpainted)) == ("a fox", "Inpaint")
    added = resolved("a fox").model_copy(update={"workflow": "portrait"})
    assert operation(added) == "portrait"
    drawn = resolved("a fox")
    assert (subject(drawn), operation(drawn)) == ("a fox", "")


def test_a_sentence_that_begins_with_a_file_leaves_its_name_alone() -> None:
    assert sentence("ink.safetensors is a LoRA for SDXL") == "ink.safetensors is a LoRA for SDXL."
    assert sentence("my_model is unknown") == "my_model is unknown."
    assert sentence("must be at most 20") == "Must be at most 20."
