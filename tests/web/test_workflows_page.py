"""The page of workflows: what there is, importing, editing, removing, what ComfyUI offers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from nicegui import ui
from nicegui.elements.upload_files import SmallFileUpload
from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction

from api.context import Context
from api.generations.facade import Facade
from api.workflows.documents import ImportDocument, WorkflowChange
from api.workflows.facade import WorkflowFacade
from api.workflows.files import SentFile
from api.workflows.importing import Wish
from comfy.emulator import Emulator, EmulatorOptions
from comfy.shipped import SHIPPED
from core.settings import Settings
from core.workflows.declaration import Workflow
from flows.testing import InProcessWorker
from store.errors import NotFoundError
from tests.harness.databases import a_store
from tests.retired_words import retired_words
from tests.web.test_words import said
from tests.web.visiting import PATIENT, elements, field, press, texts, until, write
from tests.web.workflow_files import FOX, lacking, png
from web.parts.drop import Drop
from web.parts.elements import local
from web.parts.layout import Web
from web.parts.trash import Trash
from web.workflows import covers as covers_of_pages
from web.workflows.covers import Covers

_TEMPLATES: Final = [
    {
        "moduleName": "default",
        "templates": [
            {"name": "fox_template", "title": "A quiet fox", "description": "Snow and fur"},
            {"name": "owl_template", "title": "An owl", "description": "By night"},
        ],
    }
]


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "index.json").write_text(json.dumps(_TEMPLATES))
    (folder / "fox_template.json").write_text(json.dumps(FOX))
    options = EmulatorOptions(output_dir=tmp_path / "comfy", templates_dir=folder)
    async with Emulator(options) as emulator:
        yield emulator


@pytest.fixture
def settings(tmp_path: Path, emulator: Emulator) -> Settings:
    a_store(tmp_path / "easel.db")
    told = {"home": tmp_path, "comfy": {"url": emulator.url}}
    return Settings.model_validate({**told, "prefect": {"api_url": "http://127.0.0.1:9/api"}})


async def drop(user: User, name: str, file: Any) -> None:
    """Drop a file on the page."""
    assert user.client is not None
    data = file if isinstance(file, bytes) else json.dumps(file).encode()
    [zone] = [one for one in elements(user) if isinstance(one, Drop)]
    with user.client:
        await zone.handle_uploads([SmallFileUpload(name, "", data)])


async def propose(user: User, file: Any = FOX, name: str = "A fox.json") -> None:
    await user.open("/workflows")
    await drop(user, name, file)
    await until(lambda: bool(labels(user)))


def labels(user: User) -> list[str]:
    """The names of the inputs that the editor shows, in their order; none without an editor."""
    lists = [one for one in elements(user) if "input-rows" in one.classes]
    found = []
    for row in [row for one in lists for row in one.default_slot.children]:
        [label] = [one for one in row.descendants() if "input-row-label" in one.classes]
        found.append(str(label.props["aria-label"]).removeprefix("Label of "))
    return found


def called(user: User, label: str) -> ui.element:
    """What has that ``aria-label``."""
    return next(one for one in elements(user) if one.props.get("aria-label") == label)


def set_tick(user: User, label: str, value: bool) -> None:
    UserInteraction(user, {called(user, label)}, None).trigger("change", value)


def unfold(user: User, row: str) -> None:
    """Open the details of an input."""
    [root] = [
        one
        for one in elements(user)
        if "input-row" in one.classes and called(user, f"Take {row}") in one.descendants()
    ]
    [fold] = [one for one in root.descendants() if one.tag == "details"]
    UserInteraction(user, {fold}, None).trigger("toggle", "open")


async def stored(facade: Facade, name: str) -> Workflow | None:
    try:
        return (await facade.store.workflows.get(name)).workflow
    except NotFoundError:
        return None


async def kept(facade: Facade, name: str) -> Workflow:
    """The workflow, as soon as it is there."""
    async with asyncio.timeout(20):
        while (found := await stored(facade, name)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found


async def test_a_file_is_added_as_it_was_ticked(user: User, facade: Facade) -> None:
    await propose(user)
    proposed = labels(user)
    assert proposed[:3] == ["prompt", "negative_prompt", "seed"]
    assert field(user, "Name").value == "a-fox"
    assert await stored(facade, "a-fox") is None
    set_tick(user, "Take cfg", False)
    await press(user, "Move seed up")
    await press(user, "Move seed up")
    await until(lambda: labels(user)[0] == "seed")
    write(user, "Title", "My fox")
    assert user.client is not None
    with user.client:
        called(user, "Label of steps").value = "How long"  # type: ignore[attr-defined]
    await press(user, "Add")
    made = await kept(facade, "a-fox")
    wanted = ["seed", "prompt", "negative_prompt", *proposed[3:]]
    assert [one.name for one in made.inputs] == [name for name in wanted if name != "cfg"]
    assert made.by_name["steps"].label == "How long"
    assert made.title == "My fox"
    await user.should_see("My fox", retries=PATIENT)
    assert made.graph is not None
    assert made.graph["5"]["inputs"]["cfg"] == 8


async def test_the_words_of_all_of_it(user: User) -> None:
    await propose(user, lacking())
    unfold(user, "prompt")
    found = {text: words for text in said(user) if (words := retired_words(text))}
    assert found == {}


async def test_the_first_press_counts(
    user: User, facade: Facade, monkeypatch: pytest.MonkeyPatch
) -> None:
    adds = 0
    add_one = WorkflowFacade.add

    async def counted(self: WorkflowFacade, *args: Any, **kwargs: Any) -> ImportDocument:
        nonlocal adds
        adds += not kwargs["dry_run"]
        return await add_one(self, *args, **kwargs)

    monkeypatch.setattr(WorkflowFacade, "add", counted)
    await propose(user)
    [add] = [one for one in elements(user) if one.tag == "button" and says(one, "Add")]
    for _ in range(3):
        UserInteraction(user, {add}, None).click()
    await until(lambda: not labels(user) and "A fox" in texts(user, "workflow-title"))
    assert adds == 1
    assert list(await facade.store.workflows.names()) == ["a-fox"]


async def test_a_proposal_leaves_what_is_being_read_alone(
    user: User, facade: Facade, monkeypatch: pytest.MonkeyPatch
) -> None:
    await facade.store.workflows.add(Workflow(name="mine", title="Mine", graph=FOX))
    read = asyncio.Event()
    add_one = WorkflowFacade.add

    async def slow(self: WorkflowFacade, *args: Any, **kwargs: Any) -> ImportDocument:
        await read.wait()
        return await add_one(self, *args, **kwargs)

    monkeypatch.setattr(WorkflowFacade, "add", slow)
    await user.open("/workflows")
    first = asyncio.create_task(drop(user, "A fox.json", FOX))
    await user.should_see("Reading it…", retries=PATIENT)
    await drop(user, "B fox.json", FOX)
    await until(lambda: any("One is being read" in text for text in user.notify.messages))
    await press(user, "Edit Mine")
    for _ in range(50):  # all that the press does is done
        await asyncio.sleep(0)
    read.set()
    await first
    await until(lambda: bool(labels(user)))
    assert texts(user, "workflow-heading") == ["Add a workflow"]
    assert field(user, "Name").value == "a-fox"


async def test_the_fields_of_editors_are_told_apart(user: User, facade: Facade) -> None:
    graph = {**FOX, "5": {**FOX["5"], "inputs": {**FOX["5"]["inputs"]}}}
    target = {"node": "5", "field": "steps"}
    for name in ("mine", "other"):
        inputs = [{"name": "title", "type": "integer", "default": 1, "targets": [target]}]
        told = {"name": name, "title": name, "graph": graph, "inputs": inputs}
        await facade.store.workflows.add(Workflow.model_validate(told))
    found = []
    for name in ("mine", "other"):
        await user.open("/workflows")
        await press(user, f"Edit {name}")
        await until(lambda: bool(labels(user)))
        unfold(user, "title")
        assert called(user, "Details of title").visible
        assert called(user, "Default of title").visible
        found += [one.props["data-kept"] for one in elements(user) if "data-kept" in one.props]
    assert len(found) == 6  # of each: title, description, and the default
    assert len(set(found)) == len(found)


def says(element: ui.element, label: str) -> bool:
    return any(getattr(child, "text", None) == label for child in element)


async def test_an_image_carries_a_workflow_and_its_outputs_are_chosen(
    user: User, facade: Facade
) -> None:
    await propose(user, png(FOX), "ComfyUI_00001_.png")
    boxes = [one for one in elements(user) if "output-row" in one.classes]
    assert len(boxes) == 2
    [radio] = [one for one in boxes[1].descendants() if one.props.get("type") == "radio"]
    UserInteraction(user, {radio}, None).trigger("change")
    [first] = [one for one in boxes[0].descendants() if one.props.get("type") == "checkbox"]
    UserInteraction(user, {first}, None).trigger("change", False)
    write(user, "Name", "of-a-picture")
    await press(user, "Add")
    made = await kept(facade, "of-a-picture")
    assert [(one.node, one.primary) for one in made.outputs] == [("8", True)]


async def test_which_output_is_the_main_one_is_always_marked(user: User, facade: Facade) -> None:
    await propose(user, png(FOX), "A fox.png")
    rows = [one for one in elements(user) if "output-row" in one.classes]

    def part(place: int, kind: str) -> ui.element:
        return next(one for one in rows[place].descendants() if one.props.get("type") == kind)

    def marked() -> list[bool]:
        return [bool(part(place, "radio").props.get("checked")) for place in (0, 1)]

    def ticked() -> list[bool]:
        return [bool(part(place, "checkbox").props.get("checked")) for place in (0, 1)]

    async def change(place: int, kind: str, *value: bool) -> None:
        UserInteraction(user, {part(place, kind)}, None).trigger("change", *value)
        await asyncio.sleep(0)

    await change(1, "checkbox", True)
    assert (marked(), ticked()) == ([True, False], [True, True])
    await change(0, "checkbox", False)
    assert (marked(), ticked()) == ([False, True], [False, True])
    await change(0, "radio")
    assert (marked(), ticked()) == ([True, False], [True, True])
    await change(1, "checkbox", False)
    await press(user, "Add")
    made = await kept(facade, "a-fox")
    assert [(one.node, one.primary) for one in made.outputs] == [("7", True)]


async def test_without_any_output_nothing_is_added(user: User, facade: Facade) -> None:
    await propose(user)
    for row in [one for one in elements(user) if "output-row" in one.classes]:
        [tick] = [one for one in row.descendants() if one.props.get("type") == "checkbox"]
        UserInteraction(user, {tick}, None).trigger("change", False)
    await press(user, "Add")
    await user.should_see("Keep one output at least.", retries=PATIENT)
    assert await stored(facade, "a-fox") is None


async def test_mistakes_are_told_at_their_fields(user: User, facade: Facade) -> None:
    await facade.store.workflows.add(Workflow(name="mine", title="Mine", graph=FOX))
    await propose(user)
    write(user, "Name", "Not A Name")
    write(user, "Title", " ")
    await press(user, "Add")
    await until(lambda: "Small letters" in (field(user, "Name").error or ""))
    assert field(user, "Title").error == "Enter a title first."
    write(user, "Title", "Mine too")
    write(user, "Name", "mine")
    await press(user, "Add")
    await until(lambda: "called mine already" in (field(user, "Name").error or ""))
    write(user, "Name", "mine-too")
    unfold(user, "steps")
    write(user, "Default", 0)
    await press(user, "Add")
    await user.should_see("Must be at least 1.", retries=PATIENT)
    assert await stored(facade, "mine-too") is None
    write(user, "Default", 12)
    await press(user, "Add")
    assert (await kept(facade, "mine-too")).by_name["steps"].default == 12


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (b"hello", "JSON"),
        ({"a": 1}, "no ComfyUI workflow"),
        (b"\x89PNG\r\n\x1a\n", "carries no workflow"),
    ],
)
async def test_what_is_no_workflow_is_said_with_what_to_do(
    user: User, file: Any, text: str
) -> None:
    await user.open("/workflows")
    await drop(user, "file.json", file)
    await user.should_see("This cannot be imported", retries=PATIENT)
    await user.should_see("In ComfyUI, choose Workflow, then Export")
    shown = " ".join(one.text for one in elements(user) if hasattr(one, "text") and one.tag == "p")
    assert text in shown


async def test_what_is_missing_is_told_with_where_it_belongs(user: User, facade: Facade) -> None:
    graph = lacking(f"sub/{FOX['1']['inputs']['ckpt_name']}x")
    await propose(user, graph)
    await user.should_see("Nodes are missing")
    for text in ("FancyUpscaler", "models/checkpoints"):
        await user.should_see(text)
    await press(user, "Add")
    await kept(facade, "a-fox")
    await until(lambda: "A fox" in texts(user, "workflow-title"))
    await user.should_see("FancyUpscaler")


async def test_only_web_addresses_are_links(user: User, facade: Facade) -> None:
    models = [
        {"folder": "checkpoints", "name": "a.safetensors", "url": "https://example.org/a"},
        {"folder": "loras", "name": "b.safetensors", "url": "javascript:alert(1)"},
    ]
    loaders = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
        "10": {
            "class_type": "LoraLoaderModelOnly",
            "inputs": {"lora_name": "b.safetensors", "model": ["1", 0], "strength_model": 1},
        },
    }
    told = {"name": "far", "title": "Far", "requires": {"models": models}}
    await facade.store.workflows.add(Workflow.model_validate({**told, "graph": {**FOX, **loaders}}))
    await user.open("/workflows")
    await user.should_see("javascript:alert(1)", retries=PATIENT)
    links = [str(one.props.get("href")) for one in elements(user) if one.tag == "a"]
    assert "https://example.org/a" in links
    assert not any(href.startswith("javascript") for href in links)


async def test_an_edit_keeps_what_was_unticked_for_another_one(user: User, facade: Facade) -> None:
    await propose(user)
    await press(user, "Add")
    await until(lambda: not labels(user) and "A fox" in texts(user, "workflow-title"))
    await press(user, "Edit A fox")
    await until(lambda: "cfg" in labels(user))
    set_tick(user, "Take cfg", False)
    write(user, "Description", "In the snow")
    await press(user, "Save")
    await user.should_see("“A fox” is saved.", retries=PATIENT)
    now = await kept(facade, "a-fox")
    assert "cfg" not in now.by_name
    assert now.description == "In the snow"
    await press(user, "Edit A fox")
    await until(lambda: labels(user)[-1:] == ["cfg"])
    set_tick(user, "Take cfg", True)
    await press(user, "Save")
    await until(lambda: not labels(user))
    again = (await kept(facade, "a-fox")).by_name["cfg"]
    assert (again.role, again.default) == ("cfg", 8.0)


async def test_a_change_by_someone_else_is_told_and_stays(
    user: User, context: Context, facade: Facade
) -> None:
    await facade.store.workflows.add(Workflow(name="mine", title="Mine", graph=FOX))
    await user.open("/workflows")
    await press(user, "Edit Mine")
    await until(lambda: bool(labels(user)))
    now = await context.workflows.get("mine")
    await context.workflows.change("mine", WorkflowChange(title="Theirs"), f'"{now.version}"')
    write(user, "Title", "Ours")
    await press(user, "Save")
    await user.should_see("It has been changed by someone else", retries=PATIENT)
    assert (await kept(facade, "mine")).title == "Theirs"
    assert field(user, "Title").value == "Ours"
    await press(user, "Load the newest version")
    await until(lambda: field(user, "Title").value == "Theirs")
    write(user, "Title", "Ours")
    await press(user, "Save")
    await user.should_see("“Ours” is saved.", retries=PATIENT)
    assert (await kept(facade, "mine")).title == "Ours"


async def test_one_is_removed_and_taken_back(user: User, facade: Facade) -> None:
    mine = Workflow(name="mine", title="Mine", graph=FOX)
    await facade.store.workflows.add(mine)
    await user.open("/workflows")
    await press(user, "Remove Mine")
    await until(lambda: "Mine" not in texts(user, "workflow-title"))
    assert await stored(facade, "mine") is None
    await press(user, "Undo")
    await until(lambda: "Mine" in texts(user, "workflow-title"))
    assert await kept(facade, "mine") == mine


async def test_what_was_exported_can_be_added_again_under_another_name(
    user: User, context: Context, facade: Facade
) -> None:
    await facade.store.workflows.add(Workflow(name="mine", title="Mine", graph=FOX))
    exported = await context.workflows.export("mine")
    await user.open("/workflows")
    await drop(user, "mine.json", exported)
    await until(lambda: bool(texts(user, "workflow-heading")))
    assert field(user, "Name").value == "mine-2"
    await press(user, "Add")
    assert (await kept(facade, "mine-2")).graph == FOX


async def test_the_built_in_one_can_only_be_used(user: User) -> None:
    await user.open("/workflows")
    await user.should_see("Built in", retries=PATIENT)
    shown = [str(one.props.get("aria-label")) for one in elements(user)]
    assert "Use Text to image in the Studio" in shown
    assert not any(text.startswith(("Edit", "Remove", "Export")) for text in shown)


async def test_what_others_do_is_shown(user: User, context: Context, facade: Facade) -> None:
    await user.open("/workflows")
    await facade.store.workflows.add(Workflow(name="theirs", title="Theirs", graph=FOX))
    await until(lambda: "Theirs" in texts(user, "workflow-title"))
    await context.workflows.hide("theirs")
    await until(lambda: "Theirs" not in texts(user, "workflow-title"))


async def test_the_cover_is_the_newest_image(user: User, facade: Facade) -> None:
    await user.open("/workflows")
    assert not covers(user)
    for prompt in ("a fox", "an owl"):
        made = await facade.create(await facade.read_request({"prompt": prompt}))
        await InProcessWorker(facade.store).finish(made.task_id)
        [kept] = await facade.outputs(made.task_id)
        assert kept.poster_url is not None
        newest = local(kept.poster_url)
        await until(lambda: covers(user) == [newest])  # noqa: B023
    await user.open("/workflows")
    await until(lambda: covers(user) == [newest])


async def test_pages_share_a_look_at_a_cover(
    facade: Facade, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    history = Facade.history

    async def counted(self: Facade, *args: Any) -> Any:
        nonlocal looks
        looks += 1
        return await history(self, *args)

    monkeypatch.setattr(Facade, "history", counted)
    web = Web(lambda: context, Trash(lambda: facade))
    shared = Covers(web)
    found = await asyncio.gather(*(shared.of("txt2img") for _ in range(5)))
    assert {url for url, _ in found} == {None}
    assert looks == 1
    monkeypatch.setattr(covers_of_pages, "LOOK_EVERY_S", 0.0)
    await shared.of("txt2img")
    assert looks == 2


def covers(user: User) -> list[str]:
    places = [one for one in elements(user) if "workflow-cover" in one.classes]
    return [str(image.props["src"]) for place in places for image in place if image.tag == "img"]


async def test_what_comfyui_offers_is_searched_and_opened(
    user: User, emulator: Emulator, facade: Facade
) -> None:
    folder = emulator.user_dir / "workflows"
    folder.mkdir(parents=True)
    (folder / "saved owl.json").write_text(json.dumps(FOX))
    await user.open("/workflows")
    await press(user, "Add from this ComfyUI")
    await until(lambda: offered(user)[-3:] == ["saved owl", "A quiet fox", "An owl"])
    assert offered(user)[:-3] == [one.title for one in SHIPPED.values()]
    write(user, "Search", "OWL")
    await until(lambda: offered(user) == ["saved owl", "An owl"])
    await press(user, "Templates")
    await until(lambda: offered(user) == ["An owl"])
    write(user, "Search", "fur")
    await until(lambda: offered(user) == ["A quiet fox"])
    await press(user, "A quiet fox")
    await until(lambda: bool(labels(user)))
    await press(user, "Add")
    made = await kept(facade, "fox-template")
    assert made.origin is not None
    assert made.origin.source == "template:fox_template"
    assert made.title == "A quiet fox"


def offered(user: User) -> list[str]:
    return texts(user, "source-title")


async def test_while_comfyui_is_away_it_says_what_to_do(user: User, emulator: Emulator) -> None:
    await user.open("/workflows")
    await emulator.stop()
    await press(user, "Add from this ComfyUI")
    await user.should_see("ComfyUI isn't answering", retries=PATIENT)
    await user.should_see("Start ComfyUI and try again")


async def test_a_key_that_was_typed_is_left_out_and_told(context: Context) -> None:
    key = "sk-proj-aB3dE6gH9jK2mN5pQ8sT1vW4"
    sent = SentFile(json.dumps(FOX).encode(), "fox.json")
    wanted = WorkflowChange(description=f"Use {key} for it.")

    made = await context.workflows.add(sent, Wish(name="keyed"), dry_run=False, wanted=wanted)

    assert "description held a key or a token: it was left out" in made.warnings
    stored = await context.facade.store.workflows.get("keyed")
    assert stored.workflow.description == "Use  for it."
