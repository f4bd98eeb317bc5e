"""What the graph alone says: prompts, seeds, sizes, files, numbers, models, outputs."""

from __future__ import annotations

from typing import Any

import pytest

from core.workflows.declaration import ChoicesFrom
from tests.comfy.proposal.graphs import (
    Json,
    node,
    of_role,
    promoted,
    proposed,
    targets,
    txt2img,
)


def test_a_usual_graph_has_the_usual_inputs() -> None:
    found = proposed(txt2img())

    assert {role: of_role(found, role) for role in found.roles} == {
        "prompt": ["6.text"],
        "negative_prompt": ["7.text"],
        "seed": ["3.seed"],
        "width": ["5.width"],
        "height": ["5.height"],
        "steps": ["3.steps"],
        "cfg": ["3.cfg"],
        "sampler": ["3.sampler_name"],
        "scheduler": ["3.scheduler"],
        "denoise": ["3.denoise"],
        "batch_size": ["5.batch_size"],
        "model": ["4.ckpt_name"],
    }
    assert found.by_name["prompt"].default == "a fox"
    assert found.title == "A title"
    assert [(one.node, one.kind, one.name, one.primary) for one in found.outputs] == [
        ("9", "image", "image", True)
    ]


def test_types_ranges_and_choices_come_from_the_catalogue() -> None:
    found = proposed(txt2img()).by_name

    width, sampler, model, seed = (found[name] for name in ("width", "sampler", "model", "seed"))
    assert (width.type, width.minimum, width.maximum, width.multiple_of, width.default) == (
        "integer", 16, 16384, 8, 512,
    )  # fmt: skip
    assert sampler.choices is None
    assert sampler.choices_from == ChoicesFrom(node_class="KSampler", field="sampler_name")
    assert (model.type, model.folder, model.advanced, model.default) == (
        "model", "checkpoints", True, "a.safetensors",
    )  # fmt: skip
    assert (seed.type, seed.default, seed.maximum) == ("seed", None, 2**53 - 1)


def test_choices_that_only_the_page_knows_are_a_text() -> None:
    found = proposed(
        txt2img(
            n6=node("CLIPTextEncode", text=["10", 0], clip=["4", 1]),
            n10=node("CustomCombo", "Category", choice="Music"),
        )
    )

    [one] = [one for one in found.inputs if targets(one) == ["10.choice"]]
    assert (one.type, one.choices_from, one.default) == ("text", None, "Music")


def test_an_encoder_that_feeds_both_signs_is_the_prompt() -> None:
    found = proposed(txt2img(n3=_sampler(positive=["6", 0], negative=["6", 0])))

    assert of_role(found, "prompt") == ["6.text"]
    assert found.of_role("negative_prompt") is None


def test_what_is_zeroed_out_is_no_negative_prompt() -> None:
    zero = node("ConditioningZeroOut", conditioning=["6", 0])
    found = proposed(txt2img(n7=zero))

    assert of_role(found, "prompt") == ["6.text"]
    assert found.of_role("negative_prompt") is None


def test_a_node_with_both_signs_gives_each_at_its_own_output() -> None:
    found = proposed(
        txt2img(
            n3=_sampler(positive=["6", 0], negative=["6", 1]),
            n6=node("EditEncode", prompt="older", negative_prompt="", image1=["10", 0]),
            n10=node("LoadImage", image="x.png"),
        )
    )

    assert of_role(found, "prompt") == ["6.prompt"]
    assert of_role(found, "negative_prompt") == ["6.negative_prompt"]
    assert of_role(found, "reference_image") == ["10.image"]


def test_one_text_in_two_encoders_is_one_prompt_and_two_texts_are_two() -> None:
    second = node("CLIPTextEncode", text="a fox", clip=["4", 1])
    sampler = _sampler(positive=["10", 0], negative=["7", 0])
    both = proposed(txt2img(n10=second, n11=sampler))
    other = proposed(txt2img(n10=node("CLIPTextEncode", text="a cat"), n11=sampler))

    assert of_role(both, "prompt") == ["6.text", "10.text"]
    assert of_role(other, "prompt") == ["6.text"]
    assert targets(other.by_name["prompt_2"]) == ["10.text"]


def test_of_an_expander_the_users_text_is_the_prompt() -> None:
    found = proposed(
        txt2img(
            n6=node("CLIPTextEncode", text=["10", 0], clip=["4", 1]),
            n10=node("ComfySwitchNode", switch=True, on_false=["13", 0], on_true=["11", 0]),
            n11=node("TextGenerate", prompt=["12", 0], clip=["4", 1]),
            n12=node("StringConcatenate", string_a="You are an expert. Rewrite:",
                     string_b=["13", 0], delimiter=" "),
            n13=node("PrimitiveStringMultiline", value="a fox"),
        )
    )  # fmt: skip

    assert of_role(found, "prompt") == ["13.value"]
    system = next(one for one in found.inputs if targets(one) == ["12.string_a"])
    assert (system.role, system.advanced) == (None, True)


def test_tags_are_the_prompt_and_lyrics_a_text_beside_it() -> None:
    found = proposed(txt2img(n6=node("AudioEncode", tags="jazz", lyrics="la la", clip=["4", 1])))

    assert found.roles["prompt"] == "tags"
    assert (found.by_name["lyrics"].type, found.by_name["lyrics"].role) == ("longtext", None)


def test_without_signs_the_names_of_fields_say_what_a_prompt_is() -> None:
    found = proposed(
        {
            "1": node("PartnerImage", prompt="a fox", aspect_ratio="1:1", seed=1),
            "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
        }
    )

    assert of_role(found, "prompt") == ["1.prompt"]
    assert targets(found.by_name["aspect_ratio"]) == ["1.aspect_ratio"]


def test_a_missing_class_tells_its_fields_by_their_names() -> None:
    loader = node("Efficient Loader", ckpt_name="a.safetensors", positive="a fox",
                  negative="blurry", empty_latent_width=640, empty_latent_height=480)  # fmt: skip
    found = proposed({"1": loader, "2": node("SaveImage", images=["1", 0], filename_prefix="x")})

    assert of_role(found, "prompt") == ["1.positive"]
    assert of_role(found, "negative_prompt") == ["1.negative"]
    assert of_role(found, "width") == ["1.empty_latent_width"]
    assert found.by_name["model"].folder == "checkpoints"


def test_all_samplers_share_one_seed_but_those_that_add_no_noise() -> None:
    found = proposed(
        txt2img(
            n10=_advanced("enable", 7),
            n11=_advanced("disable", 0),
            n12=node("KSampler", seed=["13", 0], latent_image=["11", 0]),
            n13=node("PrimitiveInt", value=9),
        )
    )

    assert of_role(found, "seed") == ["3.seed", "10.noise_seed", "13.value"]
    assert [one.name for one in found.inputs if one.type == "seed"] == ["seed"]


def test_a_primitive_that_counts_up_is_no_seed_unless_it_feeds_one() -> None:
    found = proposed(
        txt2img(n3=_sampler(steps=["10", 0]), n10=node("PrimitiveInt", "Int (Steps)", value=30))
    )

    assert of_role(found, "seed") == ["3.seed"]
    steps = found.of_role("steps")
    assert targets(steps) == ["10.value"]
    assert steps is not None
    assert (steps.minimum, steps.maximum, steps.default) == (1, 10000, 30)


def test_sizes_are_followed_to_the_value_even_when_halved() -> None:
    found = proposed(
        txt2img(
            n5=node("EmptyLatentImage", width=["10", 1], height=["11", 0], batch_size=1),
            n10=node("ComfyMathExpression", **{"expression": "a/2", "values.a": ["12", 0]}),
            n11=node("PrimitiveInt", value=768),
            n12=node("PrimitiveInt", value=1024),
        )
    )

    assert of_role(found, "width") == ["12.value"]
    assert of_role(found, "height") == ["11.value"]


def test_latents_of_one_size_are_one_input_and_of_two_sizes_are_two() -> None:
    def with_second(width: int) -> Any:
        second = node("EmptyLatentImage", width=width, height=768, batch_size=1)
        return proposed(txt2img(n10=second, n11=_sampler(latent_image=["10", 0])))

    assert of_role(with_second(512), "width") == ["5.width", "10.width"]
    apart = with_second(1024)
    assert of_role(apart, "width") == ["5.width"]
    assert targets(apart.by_name["width_2"]) == ["10.width"]


def test_an_upscaled_latent_is_no_size_and_a_selector_is() -> None:
    found = proposed(
        txt2img(
            n5=node("EmptyLatentImage", width=["10", 0], height=["10", 1], batch_size=1),
            n10=node("ResolutionSelector", aspect_ratio="16:9"),
            n11=node("LatentUpscale", samples=["3", 0], width=1024, height=1024),
            n8=node("VAEDecode", samples=["11", 0], vae=["4", 2]),
        )
    )

    assert found.of_role("width") is None
    shape = found.by_name["aspect_ratio"]
    assert (shape.type, shape.default, shape.advanced) == ("choice", "16:9", False)


@pytest.mark.parametrize(
    ("name", "is_required"),
    [
        ("here.png", False),
        ("gone.png", True),
        ("https://example.org/a.png", True),
        ("clipspace/clipspace-mask-1.png [input]", True),
        ("data:image/png;base64,AAAA", True),
        ("", True),
    ],
)
def test_an_upload_has_a_default_only_if_the_file_is_there(name: str, is_required: bool) -> None:
    found = proposed(_img2img(name)).of_role("init_image")

    assert found is not None
    assert (found.type, found.required) == ("image", is_required)
    assert found.default == (None if is_required else name)


def test_where_a_picture_goes_says_its_role_and_type() -> None:
    control = node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0],
                   image=["10", 0], strength=1.0)  # fmt: skip
    found = proposed(
        txt2img(
            n3=_sampler(positive=["12", 0], negative=["12", 1]),
            n10=node("LoadImage", image="pose.png"),
            n12=control,
        )
    )
    only_mask = proposed(_img2img("x.png", slot=1))

    assert of_role(found, "control_image") == ["10.image"]
    assert of_role(found, "negative_prompt") == ["7.text"]
    assert of_role(only_mask, "mask") == ["10.image"]
    assert [one.type for one in only_mask.inputs if one.is_upload] == ["mask"]


def test_equal_numbers_are_one_input_and_others_are_advanced() -> None:
    same = proposed(txt2img(n10=_sampler()))
    other = proposed(txt2img(n10=_sampler(denoise=0.5)))

    assert of_role(same, "steps") == ["3.steps", "10.steps"]
    assert of_role(other, "denoise") == ["3.denoise"]
    second = other.by_name["denoise_2"]
    assert (targets(second), second.role, second.advanced) == (["10.denoise"], None, True)


def test_a_titled_switch_is_an_input() -> None:
    found = proposed(txt2img(n10=node("PrimitiveBoolean", "Enable 4 steps LoRA?", value=False)))

    switch = found.by_name["enable_4_steps_lora"]
    assert (switch.type, switch.label, switch.default, switch.advanced) == (
        "boolean", "Enable 4 steps LoRA?", False, False,
    )  # fmt: skip


def test_viewers_are_optional_what_is_in_between_is_none_and_models_are_none() -> None:
    found = proposed(
        txt2img(
            n6=node("CLIPTextEncode", text=["10", 0], clip=["4", 1]),
            n10=node("PreviewAny", source=["11", 0]),
            n11=node("PrimitiveStringMultiline", value="a fox"),
            n12=node("PreviewImage", images=["8", 0]),
            n13=node("CheckpointSave", model=["4", 0], filename_prefix="x"),
        )
    )

    assert [(one.node, one.primary, one.optional) for one in found.outputs] == [
        ("9", True, False),
        ("12", False, True),
    ]


def test_where_only_a_viewer_is_it_is_the_output() -> None:
    found = proposed(txt2img(n9=node("PreviewImage", images=["8", 0])))

    assert [(one.node, one.primary, one.optional) for one in found.outputs] == [("9", True, False)]


def test_of_several_outputs_the_video_is_primary_and_names_are_their_own() -> None:
    found = proposed(
        txt2img(
            n10=node("SaveImage", "[output] cover", images=["8", 0], filename_prefix="y"),
            n11=node("SaveVideo", video=["12", 0], filename_prefix="z"),
            n12=node("LoadVideo", file="a.mp4"),
        )
    )

    assert [(one.name, one.kind) for one in found.outputs] == [
        ("video", "video"),
        ("image", "image"),
        ("cover", "image"),
    ]
    assert found.kind == "video"


def test_a_result_is_primary_before_it_beside_what_it_was_made_from() -> None:
    given = node("LoadImage", image="here.png")
    beside = node("ImageStitch", image1=["20", 0], image2=["8", 0])
    saved = node("SaveImage", images=["21", 0], filename_prefix="both")
    graph = txt2img(n20=given, n21=beside, n22=saved)
    of_results = graph | {"21": node("ImageStitch", image1=["8", 0], image2=["8", 0])}
    of_a_size = graph | {
        "20": node("ImageScaleBy", image=["24", 0], scale_by=["25", 0]),
        "24": given,
        "25": node("GetImageSize", image=["8", 0]),
    }

    through_missing = graph | {
        "21": node("ImageStitch", image1=["20", 0], image2=["23", 0]),
        "23": node("Missing", any=["8", 0]),
    }
    graphs = (graph, of_results, of_a_size, through_missing)

    primary = [proposed(one).outputs[0].node for one in graphs]

    assert primary == ["9", "22", "9", "9"]


def test_what_is_run_for_itself_and_takes_nothing_gives_nothing() -> None:
    graph = txt2img(n20=node("DrawBoxes", width=512, height=512))

    assert [one.node for one in proposed(graph).outputs] == ["9"]


def test_requirements_name_classes_and_models() -> None:
    found = proposed(txt2img()).requires

    assert found.classes[:2] == ("KSampler", "CheckpointLoaderSimple")
    assert [(one.folder, one.name) for one in found.models] == [("checkpoints", "a.safetensors")]


def _sampler(**changed: Any) -> Json:
    told = txt2img()["3"]
    return {**told, "inputs": told["inputs"] | changed}


def _advanced(add_noise: str, seed: int) -> Json:
    return node("KSamplerAdvanced", add_noise=add_noise, noise_seed=seed, steps=20,
                positive=["6", 0], negative=["7", 0], latent_image=["3", 0])  # fmt: skip


def _img2img(name: str, slot: int = 0) -> Json:
    return txt2img(
        n3=_sampler(latent_image=["11", 0]),
        n10=node("LoadImage", image=name),
        n11=node("VAEEncode", pixels=["10", slot], vae=["4", 2]),
    )


def test_a_written_text_of_a_missing_class_on_the_way_to_a_sampler_is_a_prompt() -> None:
    found = proposed(
        txt2img(
            n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]),
            n20=node("Combine", part1="", part2="a red fox in the snow", mode="join"),
        )
    )  # fmt: skip

    assert of_role(found, "prompt") == ["20.part2"]


def test_a_flag_about_negatives_is_no_negative_prompt() -> None:
    graph = txt2img(n20=node("Detector", hint_use_negative="False", image=["8", 0]))
    graph["9"]["inputs"]["images"] = ["20", 0]

    texts = [targets(one) for one in proposed(graph).inputs if one.type == "longtext"]
    assert texts == [["6.text"], ["7.text"]]


def test_what_a_subgraph_shows_is_the_prompt_before_what_it_hides() -> None:
    graph = txt2img(
        n6=node("CLIPTextEncode", text=["30:20", 0], clip=["4", 1]),
        **{
            "30:20": node("StringConcatenate", string_a=["30:21", 0], string_b="a fox"),
            "30:21": node("PrimitiveStringMultiline", value="{oil|ink}"),
        },
    )

    found = proposed(graph, "ui", shared=(promoted("string_b", "30:20.string_b"),))

    assert of_role(found, "prompt") == ["30:20.string_b"]


@pytest.mark.parametrize("picture", ["PackImageResize", "EmptyImage"])
def test_a_latent_of_a_pictures_size_has_the_size_that_the_picture_is_given(picture: str) -> None:
    graph = txt2img(
        n5=node("EmptyLatentImage", width=["20", 0], height=["20", 1], batch_size=1),
        n20=node("GetImageSize", image=["21", 0]),
        n21=node("ImageScaleBy", image=["22", 0], scale_by=0.5),
        n22=node(picture, width=640, height=480),
    )

    found = proposed(graph)

    assert of_role(found, "width") == ["22.width"]
    assert of_role(found, "height") == ["22.height"]


def test_a_latent_of_a_loaded_pictures_size_has_none() -> None:
    graph = txt2img(
        n5=node("EmptyLatentImage", width=["20", 0], height=["20", 1], batch_size=1),
        n20=node("GetImageSize", image=["22", 0]),
        n22=node("LoadImage", image="here.png"),
    )

    assert proposed(graph).of_role("width") is None


@pytest.mark.parametrize("field", ["megapixels", "resize_type.megapixels"])
def test_a_latent_of_a_scaled_pictures_size_has_the_pixels_of_the_scaling(field: str) -> None:
    graph = txt2img(
        n5=node("EmptyLatentImage", width=["20", 0], height=["20", 1], batch_size=1),
        n20=node("GetImageSize", image=["21", 0]),
        n21=node("ImageScaleToTotalPixels", image=["22", 0], **{field: 0.5}),
        n22=node("LoadImage", image="here.png"),
        n23=node("ImageScaleToTotalPixels", image=["22", 0], **{field: 2.0}),
    )

    found = proposed(graph)

    one = found.by_name["megapixels"]
    assert (targets(one), one.default, one.advanced) == ([f"21.{field}"], 0.5, False)
    assert "megapixels_2" not in found.by_name


def test_a_missing_class_that_gives_a_sampler_its_latent_has_the_size() -> None:
    graph = txt2img(n5=node("Conditioner", width=640, height=480, shift=1))

    assert of_role(proposed(graph), "width") == ["5.width"]


def test_a_switch_without_a_title_is_an_input_too() -> None:
    graph = txt2img(
        n20=node("PrimitiveBoolean", value=True),
        n21=node("ComfySwitchNode", switch=["20", 0], on_false=["4", 0], on_true=["4", 0]),
    )
    graph["3"]["inputs"]["model"] = ["21", 0]

    found = proposed(graph).by_name["switch"]

    assert (targets(found), found.type, found.advanced) == (["20.value"], "boolean", False)


def test_of_viewers_alone_those_count_that_show_what_was_made() -> None:
    graph = txt2img(
        n9=node("PreviewImage", images=["8", 0]),
        n20=node("LoadImage", image="here.png"),
        n21=node("PreviewImage", images=["20", 0]),
        n22=node("ImageCompare", image_a=["8", 0], image_b=["20", 0]),
    )

    assert {one.node: one.optional for one in proposed(graph).outputs} == {
        "9": False,
        "21": True,
        "22": True,
    }


def test_viewers_of_what_nothing_made_are_the_outputs() -> None:
    graph = {
        "20": node("LoadImage", image="here.png"),
        "21": node("PreviewImage", images=["20", 0]),
    }

    assert [one.optional for one in proposed(graph).outputs] == [False]


def test_a_text_that_feeds_both_signs_is_no_negative_prompt_beside_one_that_is() -> None:
    graph = txt2img(
        n20=node("CLIPTextEncode", text="a face", clip=["4", 1]),
        n21=node("KSampler", seed=5, positive=["20", 0], negative=["20", 0], latent_image=["3", 0]),
    )
    graph["8"]["inputs"]["samples"] = ["21", 0]

    found = proposed(graph)

    assert of_role(found, "prompt") == ["6.text"]
    assert [targets(one) for one in found.inputs if one.type == "longtext"] == [
        ["6.text"],
        ["20.text"],
        ["7.text"],
    ]
