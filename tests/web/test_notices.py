"""What a generation gets in another way than it was asked for is said beside it."""

from __future__ import annotations

from nicegui import ui
from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction

from api.context import Context
from core.notices import Notice
from core.requests import ResolvedRequest, UnreadableRequest
from core.workflows.plan import Plan
from flows.testing import InProcessWorker
from tests.browser.house import resolved
from tests.web.visiting import PATIENT, elements, texts, until
from web.parts.notices import in_passing, notices_of

UNHEARD = "the negative prompt is not heard at cfg 1"
ROUNDED = "the width was rounded to 512"


def noted(*messages: str) -> ResolvedRequest:
    notices = tuple(Notice(code="size_rounded", message=each) for each in messages)
    return resolved("a red fox").model_copy(update={"plan": Plan(notices=notices)})


async def test_the_picture_page_says_all_of_them(user: User, context: Context) -> None:
    made = await InProcessWorker(context.facade.store).make(noted(UNHEARD, ROUNDED, ROUNDED))
    await user.open(f"/g/{made}")
    await user.should_see("a red fox", retries=PATIENT)
    await until(lambda: len(texts(user, "field-note")) == 2)
    said = ["The negative prompt is not heard at cfg 1.", "The width was rounded to 512."]
    assert texts(user, "field-note") == said


async def test_the_studio_says_one_at_once_and_of_several_how_many(
    user: User, context: Context
) -> None:
    worker = InProcessWorker(context.facade.store)
    one = await worker.make(noted(ROUNDED))
    await user.open(f"/?g={one}")
    await user.should_see("The width was rounded to 512.", retries=PATIENT)
    several = await worker.make(noted(UNHEARD, ROUNDED))
    await user.open(f"/?g={several}")
    await user.should_see("2 notes", retries=PATIENT)


async def test_notes_that_were_opened_stay_open_when_the_image_comes(
    user: User, context: Context
) -> None:
    worker = InProcessWorker(context.facade.store)
    made = (await context.facade.store.acceptance.accept(noted(UNHEARD, ROUNDED))).generation
    claim = await worker.start(made.id)
    await user.open(f"/?g={made.id}")
    await user.should_see("2 notes", retries=PATIENT)

    def fold() -> ui.element:
        [found] = [one for one in elements(user) if "notices" in one.classes]
        return found

    before = fold()
    assert not before.props.get("open")
    UserInteraction(user, {before}, None).trigger("toggle", "open")
    await worker.succeed(claim)
    await until(lambda: fold() is not before)
    assert fold().props["open"] is True
    UserInteraction(user, {fold()}, None).trigger("toggle", "closed")


async def test_what_has_none_says_none(user: User, context: Context) -> None:
    made = await InProcessWorker(context.facade.store).make(noted())
    await user.open(f"/g/{made}")
    await user.should_see("Reuse settings", retries=PATIENT)
    await user.should_not_see("notes")
    assert texts(user, "field-note") == []


def test_in_passing_not_all_are_said() -> None:
    said = notices_of(noted("one", "two", "three", "four"))
    assert said == ["One.", "Two.", "Three.", "Four."]
    assert in_passing(said) == "One. Two. And 2 more notes."
    assert in_passing(said[:1]) == "One."


def test_settings_that_cannot_be_read_have_none() -> None:
    assert notices_of(UnreadableRequest(stored={}, reason="steps")) == []


def test_a_guess_at_the_model_is_said_by_the_form_and_on_the_page_of_the_image() -> None:
    guessed = Notice(code="family_guessed", message="it is taken for SD 1.5")
    request = resolved("a red fox").model_copy(update={"plan": Plan(notices=(guessed,))})
    assert notices_of(request) == []
    assert notices_of(request, but=()) == ["It is taken for SD 1.5."]
