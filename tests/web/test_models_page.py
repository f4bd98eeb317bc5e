"""The page of model files, without a browser."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction

from api.context import Context
from comfy.catalogue import Catalogue
from store.models import KeptSetting
from tests.web.conftest import CATALOGUE
from tests.web.visiting import PATIENT, elements, field, press, texts, until, write
from web.models.rows import ModelRows

FLUX = "flux1-dev.safetensors"
ODD = "homemade.safetensors"
FULL = replace(
    CATALOGUE,
    diffusion_models=(FLUX, ODD),
    loras=("styles/ink_sdxl.safetensors",),
    text_encoders=("clip_l.safetensors", "t5xxl_fp16.safetensors"),
    vaes=("sdxl_vae.safetensors",),
)


def offer(context: Context, catalogue: Catalogue | None) -> None:
    context.facade.catalogue._catalogue = catalogue


def rows(user: User) -> dict[str, dict[str, Any]]:
    """What the list shows, by name."""
    [shown] = [one for one in elements(user) if isinstance(one, ModelRows)]
    return {row["full"]: row for group in shown.props["groups"] for row in group["rows"]}


def edit(user: User, folder: str, name: str) -> None:
    [shown] = [one for one in elements(user) if isinstance(one, ModelRows)]
    UserInteraction(user, {shown}, None).trigger("edit", {"folder": folder, "name": name})


async def opened(user: User, context: Context) -> None:
    offer(context, FULL)
    await user.open("/models")
    await until(lambda: FLUX in rows(user))


async def test_before_comfyui_was_reached_it_says_what_to_do(user: User, context: Context) -> None:
    offer(context, None)
    await user.open("/models")
    await user.should_see("ComfyUI has not been reached yet", retries=PATIENT)
    await user.should_see("Start ComfyUI")
    offer(context, FULL)
    await press(user, "Look again")
    await until(lambda: FLUX in rows(user))


async def test_an_empty_comfyui_says_what_to_do_and_shows_what_comes(
    user: User, context: Context
) -> None:
    offer(context, Catalogue())
    await user.open("/models")
    await user.should_see("ComfyUI has no model files yet", retries=PATIENT)
    await user.should_see("models/checkpoints")
    offer(context, replace(Catalogue(), loras=("ink_sdxl.safetensors",)))
    await until(lambda: "ink_sdxl.safetensors" in rows(user))  # by itself
    await user.should_see("None of these files is a model for images", retries=PATIENT)


async def test_what_is_missing_for_a_family_is_said_with_its_folder(
    user: User, context: Context
) -> None:
    await opened(user, context)
    [lack] = rows(user)[FLUX]["lacks"]
    assert "which needs a VAE such as" in lack
    assert lack.endswith(
        "a VAE such as models/vae/ae.safetensors in ComfyUI's folder: put it there, or name "
        "another file in “VAE”."
    )
    offer(context, replace(FULL, vaes=("ae.safetensors",)))
    await until(lambda: not rows(user)[FLUX]["lacks"])
    loaded = "clip_l.safetensors, t5xxl_fp16.safetensors, ae.safetensors"
    assert rows(user)[FLUX]["loaded"] == loaded


async def test_search_and_filters_go_together(user: User, context: Context) -> None:
    await opened(user, context)
    write(user, "Search", "SAFETENSORS xl")
    assert set(rows(user)) == {
        "sd_xl_base_1.0.safetensors",
        "styles/ink_sdxl.safetensors",
        "sdxl_vae.safetensors",
        "t5xxl_fp16.safetensors",
    }
    write(user, "Folder", "loras")
    assert set(rows(user)) == {"styles/ink_sdxl.safetensors"}
    write(user, "Search", "nothing")
    assert rows(user) == {}
    await user.should_see("No file is like that.")
    write(user, "Search", "sdxl")  # by its family, too
    assert rows(user)["styles/ink_sdxl.safetensors"]["family"] == "SDXL"


async def test_what_the_owner_says_counts_and_can_be_undone(user: User, context: Context) -> None:
    await opened(user, context)
    edit(user, "diffusion_models", FLUX)
    await user.should_see("By flux1-dev in its name.", retries=PATIENT)
    write(user, "Family", "flux1-krea")
    write(user, "Text encoders", ["clip_l.safetensors"])
    write(user, "VAE", "sdxl_vae.safetensors")
    await press(user, "Save")
    await until(lambda: rows(user)[FLUX]["how"] == "You said so.")
    assert rows(user)[FLUX]["family"] == "Flux.1 Krea dev"
    assert rows(user)[FLUX]["loaded"] == "clip_l.safetensors, sdxl_vae.safetensors"
    [kept] = await context.facade.store.models.settings()
    assert kept == KeptSetting(
        "diffusion_models", FLUX, "flux1-krea", ("clip_l.safetensors",), "sdxl_vae.safetensors"
    )
    await press(user, "Undo")
    await until(lambda: rows(user)[FLUX]["family"] == "Flux.1 dev")
    assert await context.facade.store.models.settings() == ()


async def test_a_file_that_is_gone_is_told_at_its_field(user: User, context: Context) -> None:
    gone = KeptSetting("diffusion_models", FLUX, None, None, "gone_vae.safetensors")
    await context.facade.store.models.set(gone)
    await context.facade.models.take_over()
    await opened(user, context)
    edit(user, "diffusion_models", FLUX)
    await user.should_see("Loaded in place of", retries=PATIENT)
    assert field(user, "VAE").value == "gone_vae.safetensors"
    write(user, "Family", "flux1-krea")
    await press(user, "Save")
    await until(lambda: "No ComfyUI has this file in vae" in (field(user, "VAE").error or ""))
    assert field(user, "Family").value == "flux1-krea"  # nothing of it is lost
    write(user, "VAE", "")
    await press(user, "Save")
    await until(lambda: rows(user)[FLUX]["how"] == "You said so.")


async def test_a_lora_has_a_base_only(user: User, context: Context) -> None:
    await opened(user, context)
    edit(user, "loras", "styles/ink_sdxl.safetensors")
    await user.should_see("Fits", retries=PATIENT)
    write(user, "Fits", "flux1")
    await press(user, "Save")
    await until(lambda: rows(user)["styles/ink_sdxl.safetensors"]["family"] == "Flux.1")


async def test_files_of_unknown_kind_are_found_and_counted(user: User, context: Context) -> None:
    await opened(user, context)
    said = [row for row in rows(user).values() if row["unknown"]]
    assert [row["full"] for row in said] == [ODD]
    assert "8 files · 1 unknown" in texts(user, "muted")
