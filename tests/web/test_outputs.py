"""What is no still picture on the pages: players, texts, and files to download."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from nicegui import ui
from nicegui.testing import User

from api.generations.facade import Facade
from core.artefacts import ArtefactKind
from core.requests import GenerationRequest
from flows.testing import InProcessWorker
from store.values import Artefact
from tests.web.visiting import elements, texts, until
from web.parts.outputs import badge_of, clock

MP4 = "video/mp4"


async def kept(facade: Facade, kind: ArtefactKind, content_type: str, **values: Any) -> UUID:
    """A generation that has ended with this one artefact."""
    store = facade.store
    made = await facade.create(GenerationRequest(prompt="a red fox"))
    claim = await InProcessWorker(store).start(made.task_id)
    artefact = Artefact(
        id=uuid4(),
        generation_id=made.task_id,
        position=0,
        path=f"{made.task_id}/1/0.bin",
        content_type=content_type,
        bytes=2_000,
        sha256="0" * 64,
        created_at=datetime.now(UTC),
        kind=kind,
        name="fox",
        primary=True,
        **values,
    )
    await store.transitions.succeed(claim, [artefact])
    return made.task_id


def of_tag(user: User, tag: str) -> list[ui.element]:
    return [element for element in elements(user) if element.tag == tag]


def ancestors(element: ui.element) -> list[str]:
    return [each.tag for each in element.ancestors()]


@pytest.mark.parametrize("page", ["/g/{}", "/?g={}"])
async def test_a_video_has_a_player_in_its_shape_with_its_poster(
    user: User, facade: Facade, page: str
) -> None:
    task_id = await kept(
        facade, "video", MP4, width=640, height=360, duration_s=5.0, poster_path="poster.webp"
    )
    await user.open(page.format(task_id))
    await until(lambda: bool(of_tag(user, "video")))
    [player] = of_tag(user, "video")
    assert player.props["controls"] is True
    assert player.props["preload"] == "metadata"
    assert str(player.props["poster"]).startswith("/api/v1/")
    assert player.style["aspect-ratio"] == "640 / 360"
    assert "a" not in ancestors(player)  # its buttons cannot stand in a link


@pytest.mark.parametrize("page", ["/g/{}", "/?g={}"])
async def test_a_sound_has_a_player(user: User, facade: Facade, page: str) -> None:
    task_id = await kept(facade, "audio", "audio/flac", duration_s=61.0)
    await user.open(page.format(task_id))
    await until(lambda: bool(of_tag(user, "audio")))
    [player] = of_tag(user, "audio")
    assert player.props["controls"] is True
    assert player.props["aria-label"] == "Sound: a red fox"


async def test_a_text_is_shown_as_it_is(user: User, facade: Facade) -> None:
    said = "<b>one</b>\n" * 3
    task_id = await kept(facade, "text", "text/plain; charset=utf-8", text=said)
    await user.open(f"/g/{task_id}")
    await until(lambda: texts(user, "text-shown") == [said])


@pytest.mark.parametrize(
    ("kind", "content_type", "said"),
    [
        ("model3d", "model/gltf-binary", "3D model"),
        ("file", "image/svg+xml", "File"),
        ("video", "video/x-unheard-of", "Video"),
        ("image", "image/avif", "Image"),
    ],
)
async def test_what_no_browser_shows_is_a_download(
    user: User, facade: Facade, kind: ArtefactKind, content_type: str, said: str
) -> None:
    task_id = await kept(facade, kind, content_type)
    await user.open(f"/g/{task_id}")
    await until(lambda: said in texts(user, "empty-title"))
    assert not of_tag(user, "video")
    assert any(link.props.get("download") for link in of_tag(user, "a"))


async def test_the_history_says_what_it_is_and_how_long(user: User, facade: Facade) -> None:
    await kept(facade, "video", MP4, width=1280, height=640, duration_s=5.0, poster_path="p.webp")
    await kept(facade, "text", "text/plain; charset=utf-8", text="a poem")
    await user.open("/history")
    tiles = [tile for element in elements(user) for tile in element.props.get("tiles", [])]
    text, video = tiles
    assert (video["badge"], video["ratio"]) == ("Video 0:05", 2.0)
    assert (text["src"], text["text"], text["headline"]) == (None, "a poem", "Text")


def test_durations_and_badges() -> None:
    assert [clock(s) for s in (0.2, 5, 61, 3723)] == ["0:00", "0:05", "1:01", "1:02:03"]
    assert badge_of("image", None) is None
    assert badge_of("image", None, 4) == "×4"
    assert badge_of("animation", 2.0, 3) == "Animation 0:02 ×3"
