"""Where the graphs come from, and what is said where a template is another one than expected."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.templates import CATALOGUES, load_catalogue
from comfy import ComfyClient, DeclarationError
from comfy.address import Address
from comfy.nodes import NodeCatalogue
from comfy.shipped import SHIPPED
from comfy.shipped.package import PACKAGE
from comfy.shipped.values import Shipped, shown
from comfy.sources import template_file, workflow_file
from tests.comfy.shipped.reading import read, template
from tests.comfy.test_emulator import FAST, calling

T2V = SHIPPED["wan22-5b-t2v"]
I2V = SHIPPED["wan22-5b-i2v"]


@pytest.fixture(scope="module")
def catalogue() -> NodeCatalogue:
    return load_catalogue(CATALOGUES / "0.33.json.gz")


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[ComfyClient]:
    """A ComfyUI whose one template is another one than the package's."""
    (tmp_path / f"{T2V.templates[0]}.json").write_text('{"nodes": []}', encoding="utf-8")
    async with calling(replace(FAST, templates_dir=tmp_path)) as (emulator, _):
        client = ComfyClient(Address(emulator.url))
        yield client
        await client.aclose()


async def test_the_package_comes_before_the_users_comfyui(own: ComfyClient) -> None:
    found = await workflow_file(own, T2V.source)

    assert found is not None
    assert json.loads(found.data) == template(T2V)


async def test_without_the_package_the_users_comfyui_has_them(
    own: ComfyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)

    found = await workflow_file(own, T2V.source)

    assert found is not None
    assert (found.data, found.name) == (b'{"nodes": []}', T2V.templates[0])
    assert await workflow_file(own, SHIPPED["hunyuan3d"].source) is None


async def test_the_first_name_that_exists_counts(own: ComfyClient) -> None:
    found = await template_file(own, replace(T2V, templates=("zx81", *T2V.templates)))

    assert found is not None
    assert found.name == T2V.templates[0]


def test_nodes_that_are_off_in_the_template_are_on_where_they_are_wanted(
    catalogue: NodeCatalogue,
) -> None:
    assert T2V.templates == I2V.templates
    assert read(T2V, catalogue).workflow.of_role("init_image") is None
    image = read(I2V, catalogue).workflow.of_role("init_image")
    assert image is not None
    assert (image.name, image.required) == ("image", True)


def test_the_nodes_of_a_template_may_be_numbered_anew(catalogue: NodeCatalogue) -> None:
    told = template(T2V)
    for node in told["nodes"]:
        node["id"] += 1000
    for link in told["links"]:
        link[1], link[3] = link[1] + 1000, link[3] + 1000

    anew, before = read(T2V, catalogue, told).workflow, read(T2V, catalogue).workflow

    assert "6" not in (anew.graph or {})
    assert [one.model_dump(exclude={"targets"}) for one in anew.inputs] == [
        one.model_dump(exclude={"targets"}) for one in before.inputs
    ]


def test_no_field_has_two_inputs(catalogue: NodeCatalogue) -> None:
    for entry in SHIPPED.values():
        places = [
            target for one in read(entry, catalogue).workflow.inputs for target in one.targets
        ]
        assert len(places) == len(set(places)), entry.name


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"inputs": (shown("zx81"),)}, "unknown_input"),
        ({"inputs": (shown("99.text", "prompt"),)}, "unknown_node"),
        ({"inputs": (shown("6.texts", "prompt"),)}, "unknown_field"),
        ({"inputs": (shown("3.model", "prompt"),)}, "linked_field"),
        ({"outputs": {"zx81": "image"}}, "unknown_output"),
        ({"kind": "audio"}, "unknown_output"),
        ({"switched_on": ("99",)}, "unknown_node"),
    ],
)
def test_what_is_not_in_the_template_is_told(
    catalogue: NodeCatalogue, changes: dict[str, Any], code: str
) -> None:
    entry: Shipped = replace(T2V, **changes)

    with pytest.raises(DeclarationError) as caught:
        read(entry, catalogue)

    assert caught.value.code == code
    assert f"template:{T2V.templates[0]}" in str(caught.value)


def test_fields_of_classes_that_comfyui_lacks_are_left_out_and_told() -> None:
    entry = SHIPPED["flux2-klein-edit"]
    found = read(entry, load_catalogue(CATALOGUES / "0.3.64.json.gz"))

    left = [one.name for one in entry.inputs if one.name not in found.workflow.by_name]
    assert left
    assert all(name in found.told[0] for name in left)
    assert found.workflow.of_role("prompt") is not None
