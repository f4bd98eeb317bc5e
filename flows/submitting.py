"""A generation's prompt comes into ComfyUI: once, with its files; what is paid for, never twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from comfy import Graph, Submitted, TransientComfyError, WorkflowRejectedError
from core.failpoints import reach
from core.instant import Instant
from flows.errors import PaidUnknownError
from flows.inputs import Inputs, InputSession, find_inputs, has_lost_one, put_inputs
from flows.retries import patiently
from store.store import Store
from store.values import Claim

SURE_FOR_S: Final = 0.5
"""For so long after a claim nothing that judges leases can have released it."""
SENT_WITHIN_S: Final = 1.0
"""So long after the row was last known to be this worker's, a POST is sent at the latest."""
RESUBMISSIONS: Final = 3
"""Maximum resubmissions of a prompt that ComfyUI lost in a restart."""


class SubmitSession(InputSession, Protocol):
    """What this step needs of ComfyUI; ``comfy.ComfySession`` has it."""

    async def submit(
        self,
        graph: Graph,
        prompt_id: str,
        *,
        fresh: bool = False,
        before_post: Callable[[], Awaitable[None]] | None = None,
        is_sure: Callable[[], bool] | None = None,
        not_posted: Callable[[], Awaitable[None]] | None = None,
    ) -> Submitted:
        """Make sure that ComfyUI has the prompt, once."""
        ...


async def submit(
    store: Store, session: SubmitSession, claim: Claim, graph: Graph, *, fresh: bool = False
) -> Submitted:
    """Write the intent, then make sure that ComfyUI has the prompt, once. May be repeated.

    Right before the POST it makes sure that the attempt is still held, unless it was claimed within
    ``SURE_FOR_S``; and in the moment in which it is sent, that this was not long ago, as this
    process may have been stopped in between. The files that it refers to are put into ComfyUI
    right before the POST. ``fresh`` skips the check before the first POST: only where nothing can
    have been posted. What calls paid services is posted at most once in an attempt, whoever
    repeats this.
    Raises FencedError, WorkflowRejectedError, PaidNodesError, PaidUnknownError, InputGoneError,
    InputRefusedError, TransientComfyError, ArtefactStoreError.
    """
    inputs = await find_inputs(store, graph)
    named = inputs.named(graph)
    if named.paid:
        return await _submit_paid(store, session, claim, named, inputs, fresh=fresh)
    if not claim.intent_written:
        await patiently(store.transitions.record_submission, claim)
    reach("submit.after_intent")

    known = claim.taken

    async def right_before() -> None:
        nonlocal known
        await put_inputs(store, session, inputs)
        if known.age_s() > SURE_FOR_S:
            known = await check_hold(store, claim)

    for tries_left in range(RESUBMISSIONS, -1, -1):
        try:
            return await session.submit(
                named,
                claim.prompt_id,
                fresh=fresh,
                before_post=right_before,
                is_sure=lambda: known.age_s() <= SENT_WITHIN_S,
            )
        except WorkflowRejectedError as error:
            # Its input folder may have been emptied between the look and the POST.
            if not tries_left or not inputs.are_named_in(error):
                raise
            if not await has_lost_one(session, inputs):
                raise
    raise AssertionError("unreachable")


async def _submit_paid(
    store: Store, session: SubmitSession, claim: Claim, graph: Graph, inputs: Inputs, *, fresh: bool
) -> Submitted:
    """Write the intent right before the POST, which only the first one to write it may do."""

    at: datetime | None = None
    known = claim.taken

    async def note(now: datetime) -> bool:
        nonlocal known
        known = Instant.now()
        return await store.transitions.record_submission(claim, now)

    async def right_before() -> None:
        nonlocal at
        at = None  # of an earlier POST, which ComfyUI may have: that one is not withdrawn
        await put_inputs(store, session, inputs)
        at = datetime.now(UTC)
        if not await patiently(note, at):
            raise PaidUnknownError(graph.paid)
        reach("submit.after_intent")

    async def not_posted() -> None:
        if at is not None:
            await patiently(store.transitions.withdraw_submission, claim, at)

    return await session.submit(
        graph,
        claim.prompt_id,
        fresh=fresh,
        before_post=right_before,
        is_sure=lambda: known.age_s() <= SENT_WITHIN_S,
        not_posted=not_posted,
    )


async def has_lost_an_input(store: Store, session: SubmitSession, graph: Graph) -> bool:
    """Returns whether ComfyUI does not have a file any more that the graph refers to."""
    inputs = await find_inputs(store, graph)
    if inputs.gone:  # it could not be sent again
        return False
    try:
        return await has_lost_one(session, inputs)
    except TransientComfyError:
        return False


async def check_hold(store: Store, claim: Claim) -> Instant:
    """Returns when the attempt was held still; FencedError if it was released since.

    Then this worker slept, or was paused. Only the row shows this. A lease that was just renewed
    does not: it may have lapsed before.
    """

    async def held() -> Instant:
        asked = Instant.now()
        await store.transitions.status(claim)
        return asked

    return await patiently(held)
