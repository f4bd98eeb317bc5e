"""What a generation needs, and what a ComfyUI lacks for it."""

from __future__ import annotations

from core.workflows.needs import Needs, Offer, without
from core.workflows.plan import Plan

PLAN = Plan(
    models={"checkpoints": ("a.safetensors",), "loras": ("x/film.safetensors", "b.safetensors")},
    classes=("KSampler", "CheckpointLoaderSimple"),
)
NEEDS = Needs.of(PLAN)
assert NEEDS is not None
CLASSES = ("CheckpointLoaderSimple", "KSampler", "SaveImage")


def an_offer(*loras: str, choices: tuple[str, ...] = (), without: str = "") -> Offer:
    files = {"checkpoints": ["a.safetensors"], "loras": loras}
    return Offer.of(files, [one for one in CLASSES if one != without], choices)


def test_the_same_needs_have_one_digest_whatever_their_order() -> None:
    other = Plan(
        models={"loras": tuple(reversed(PLAN.models["loras"])), "checkpoints": ("a.safetensors",)},
        classes=tuple(reversed(PLAN.classes)),
        cost=7.0,
    )
    again = Needs.of(other)
    assert again is not None
    assert NEEDS is not None
    assert again.digest == NEEDS.digest
    assert Needs.from_json(NEEDS.to_json()) == NEEDS
    elsewhere = Needs({"vae": ("a.safetensors",)})
    assert elsewhere.digest != Needs({"checkpoints": ("a.safetensors",)}).digest


def test_what_is_not_known_is_not_needed() -> None:
    assert Needs.of(Plan()) is None
    assert Needs.of(Plan(models={"loras": ()})) is None


def test_a_comfyui_lacks_what_is_in_no_folder_and_no_choice() -> None:
    assert NEEDS is not None
    assert an_offer("x/film.safetensors", "b.safetensors").lacks(NEEDS) == ()
    assert an_offer("x/film.safetensors").lacks(NEEDS) == ("b.safetensors",)
    assert an_offer("x\\film.safetensors", choices=("b.safetensors",)).lacks(NEEDS) == ()
    lacked = an_offer("b.safetensors", without="KSampler").lacks(NEEDS)
    assert lacked == ("x/film.safetensors", "KSampler")


def test_a_name_in_another_folder_is_another_file() -> None:
    there = Offer.of({"checkpoints": ["vae.sft"]}, (), ())
    assert there.lacks(Needs({"vae": ("vae.sft",)})) == ("vae.sft",)


def test_it_is_told_what_no_worker_has_or_else_what_not_one_has_all_of() -> None:
    assert NEEDS is not None
    film, other = an_offer("x/film.safetensors"), an_offer("b.safetensors")
    nothing = an_offer()
    assert without(NEEDS, [film, nothing]) == "no worker has b.safetensors"
    assert without(NEEDS, [film, other]) == (
        "no worker has all of b.safetensors, x/film.safetensors"
    )
