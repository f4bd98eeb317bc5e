"""The graph of every operation that draws: from a text, from an image, within a mask, as edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from comfy.families.family import Family
from comfy.families.table import FAMILIES
from comfy.graph import (
    ConditioningHandle,
    Graph,
    GraphBuilder,
    ImageHandle,
    LatentHandle,
)
from comfy.workflows.building.controls import with_controls
from comfy.workflows.building.enlarging import enlarged
from comfy.workflows.building.loading import Loaded, load
from comfy.workflows.building.pictures import Start, pasted, start_of
from comfy.workflows.building.sampling import (
    Refining,
    Run,
    patched_for_mask,
    refined,
    sampled,
)
from comfy.workflows.building.texts import Texts, encode
from comfy.workflows.builtin.recipe import Recipe
from comfy.workflows.layout import Size

_LATENT_STEPS: Final = "nearest-exact"


def draw(values: Mapping[str, Any], recipe: Recipe, filename_prefix: str) -> Graph:
    """Returns the graph of a request of ``txt2img`` and its kind."""
    return _Drawing(values, recipe).build(filename_prefix)


@dataclass
class _Drawing:
    """One graph on its way: ``size`` is what is sampled at now, in pixels."""

    values: Mapping[str, Any]
    recipe: Recipe

    def __post_init__(self) -> None:
        self.graph = GraphBuilder()
        self.family: Family = FAMILIES[self.recipe.family]
        layout = self.recipe.layout
        self.size = layout.work if layout else Size(self.values["width"], self.values["height"])
        self.many: int = self.values["batch_size"]
        self.start: Start | None = None

    def build(self, filename_prefix: str) -> Graph:
        loaded = load(self.graph, self.values, self.family, self.recipe)
        texts = encode(self.graph, self.values, loaded, self.family, self.recipe)
        if self.recipe.layout is not None:
            self.start = start_of(self.graph, self.values, self.recipe.layout)
        loaded, texts = self._controlled(loaded, texts)
        wanted, latent = self._latent(loaded, texts)
        if self.start is not None and self.start.mask is not None:
            loaded = replace(loaded, model=patched_for_mask(self.graph, loaded))
        run = Run(latent, self.size, self.values["steps"], self.values.get("denoise", 1.0))
        made = self._sampled(loaded, wanted, run)
        if self.recipe.hires is not None:
            made = self._again(loaded, texts, made)
        image = self.graph.vae_decode(made, loaded.vae)
        self.graph.save_image(self._finished(image), filename_prefix)
        return self.graph.build(expected_outputs=self.many, pixels=self._pixels())

    # --- parts

    def _controlled(self, loaded: Loaded, texts: Texts) -> tuple[Loaded, Texts]:
        controls = self.values.get("controls") or ()
        return with_controls(
            self.graph,
            controls,
            self.recipe.controls,
            loaded,
            texts,
            self.family,
            self.size,
        )

    def _latent(self, loaded: Loaded, texts: Texts) -> tuple[Texts, LatentHandle]:
        """Returns what sampling starts from; an inpaint model reads the mask in its texts."""
        start = self.start
        if start is None:
            return texts, self._empty()
        if start.mask is not None and self._inpaints_by_conditioning:
            return self._conditioned(loaded, texts, start)
        latent = self.graph.one(LatentHandle, "VAEEncode", pixels=start.image, vae=loaded.vae)
        if start.mask is not None:
            latent = self.graph.one(
                LatentHandle, "SetLatentNoiseMask", samples=latent, mask=start.mask
            )
        return texts, self._repeated(latent)

    @property
    def _inpaints_by_conditioning(self) -> bool:
        return self.family.inpaints_by_conditioning or "inpaint" in self.recipe.traits

    def _empty(self) -> LatentHandle:
        return self.graph.one(
            LatentHandle,
            self.family.latent,
            width=self.size.width,
            height=self.size.height,
            batch_size=self.many,
        )

    def _conditioned(
        self, loaded: Loaded, texts: Texts, start: Start
    ) -> tuple[Texts, LatentHandle]:
        assert start.mask is not None  # the caller has seen it
        made = self.graph.add(
            "InpaintModelConditioning",
            outputs=3,
            positive=texts.positive,
            negative=texts.negative,
            vae=loaded.vae,
            pixels=start.image,
            mask=start.mask,
            noise_mask=True,
        )
        node = made[0].node_id
        latent = self._repeated(LatentHandle(node, 2))
        return Texts(ConditioningHandle(node, 0), ConditioningHandle(node, 1)), latent

    def _repeated(self, latent: LatentHandle) -> LatentHandle:
        if self.many == 1:
            return latent
        return self.graph.one(LatentHandle, "RepeatLatentBatch", samples=latent, amount=self.many)

    def _sampled(self, loaded: Loaded, texts: Texts, run: Run) -> LatentHandle:
        refiner = self.values.get("refiner")
        if refiner is None:
            return sampled(self.graph, self.values, loaded.model, texts, self.family, run)
        model, clip, _ = self.graph.checkpoint_loader(refiner["model"])
        own = Texts(
            self.graph.clip_text_encode(clip, self.values["prompt"]),
            self.graph.clip_text_encode(clip, self.values["negative_prompt"]),
        )
        refining = Refining(model, own, refiner["switch_at"])
        return refined(self.graph, self.values, loaded.model, texts, refining, run)

    def _again(self, loaded: Loaded, texts: Texts, made: LatentHandle) -> LatentHandle:
        """Add the second pass: enlarged, and drawn once more."""
        hires, size = self.values["hires"], self.recipe.hires
        assert size is not None  # the caller has seen it
        if hires["method"] == "latent":
            latent = self.graph.one(
                LatentHandle,
                "LatentUpscale",
                samples=made,
                upscale_method=_LATENT_STEPS,
                width=size.width,
                height=size.height,
                crop="disabled",
            )
        else:
            image = self.graph.vae_decode(made, loaded.vae)
            larger = enlarged(self.graph, image, hires["model"], size)
            latent = self.graph.one(LatentHandle, "VAEEncode", pixels=larger, vae=loaded.vae)
        self.size = size
        run = Run(latent, size, hires["steps"], hires["denoise"])
        return sampled(self.graph, self.values, loaded.model, texts, self.family, run)

    def _finished(self, image: ImageHandle) -> ImageHandle:
        layout = self.recipe.layout
        if layout is None or self.start is None or not layout.pastes:
            return image
        return pasted(self.graph, self.start, image, self.size, layout, self.many)

    def _pixels(self) -> int:
        layout = self.recipe.layout
        return layout.padded.pixels if layout is not None and layout.pastes else self.size.pixels
