"""Leases: who lives is told by a beat that moves, seen from one clock; no two hold one name."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from store.leases import FORGOTTEN_AFTER, Lease, LeaseKeeper, Leases, LeaseWatch
from store.store import Store
from store.tables import leases as leases_table
from tests.harness.transactions import open_write
from tests.store.making import wait_until

NAME: Final = "worker one"
ME, OTHER = UUID(int=1), UUID(int=2)
SHORT_S: Final = 0.3


@pytest.fixture
def leases(store: Store) -> Leases:
    return store.leases


async def held_by(leases: Leases, name: str = NAME) -> UUID | None:
    return next((lease.holder for lease in await leases.all() if lease.name == name), None)


# --- the table


async def test_a_lease_says_who_holds_it_and_for_how_long_it_is_good(leases: Leases) -> None:
    await leases.take(NAME, ME, 20.0)
    await leases.take("reconciler", OTHER, 7.5)

    assert set(await leases.all()) == {
        Lease(NAME, ME, 0, 20.0),
        Lease("reconciler", OTHER, 0, 7.5),
    }


async def test_each_renewal_moves_the_beat(leases: Leases) -> None:
    await leases.take(NAME, ME, 20.0)

    assert [await leases.renew(NAME, ME) for _ in range(3)] == [True] * 3

    assert await leases.all() == (Lease(NAME, ME, 3, 20.0),)


async def test_the_later_of_two_with_one_name_has_it(leases: Leases) -> None:
    await leases.take(NAME, ME, 20.0)
    await leases.renew(NAME, ME)

    await leases.take(NAME, OTHER, 5.0)

    assert await leases.all() == (Lease(NAME, OTHER, 0, 5.0),)
    assert not await leases.renew(NAME, ME)
    assert await leases.renew(NAME, OTHER)


async def test_what_nobody_has_cannot_be_renewed(leases: Leases) -> None:
    assert not await leases.renew(NAME, ME)
    assert await leases.all() == ()


async def test_only_the_holder_gives_up(leases: Leases) -> None:
    await leases.take(NAME, ME, 20.0)

    await leases.give_up(NAME, OTHER)
    assert await held_by(leases) == ME

    await leases.give_up(NAME, ME)
    assert await leases.all() == ()


async def test_a_free_lease_can_be_taken_politely(leases: Leases) -> None:
    assert await leases.take_free(NAME, ME, 20.0, None)
    assert not await leases.take_free(NAME, OTHER, 20.0, None)

    assert await leases.all() == (Lease(NAME, ME, 0, 20.0),)


async def test_a_lapsed_lease_can_be_taken(leases: Leases) -> None:
    await leases.take(NAME, OTHER, 20.0)
    await leases.renew(NAME, OTHER)
    [lapsed] = await leases.all()

    assert await leases.take_free(NAME, ME, 5.0, lapsed)

    assert await leases.all() == (Lease(NAME, ME, 0, 5.0),)
    assert not await leases.renew(NAME, OTHER)


async def test_who_beat_once_more_since_is_not_replaced(leases: Leases) -> None:
    """Whoever judged it lapsed saw an older beat: the holder woke up meanwhile."""
    await leases.take(NAME, OTHER, 20.0)
    [lapsed] = await leases.all()
    await leases.renew(NAME, OTHER)

    assert not await leases.take_free(NAME, ME, 20.0, lapsed)

    assert await leases.all() == (replace(lapsed, beat=1),)


async def test_whose_place_was_taken_by_another_is_not_mistaken_for_it(leases: Leases) -> None:
    await leases.take(NAME, OTHER, 20.0)
    [lapsed] = await leases.all()
    third = uuid4()
    await leases.take(NAME, third, 20.0)

    assert not await leases.take_free(NAME, ME, 20.0, lapsed)
    assert await held_by(leases) == third


@pytest.mark.parametrize("free", [True, False])
async def test_of_many_who_take_it_at_once_one_has_it(
    store: Store, second: Store, free: bool
) -> None:
    lapsed = None
    if not free:
        await store.leases.take(NAME, OTHER, 20.0)
        [lapsed] = await store.leases.all()
    holders = [uuid4() for _ in range(8)]

    won = await asyncio.gather(
        *(
            (store if n % 2 else second).leases.take_free(NAME, holder, 20.0, lapsed)
            for n, holder in enumerate(holders)
        )
    )

    assert won.count(True) == 1
    assert await held_by(store.leases) == holders[won.index(True)]


# --- the watch


class Clock:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


LOOK_S: Final = 1.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> LeaseWatch:
    return LeaseWatch(LOOK_S, now=clock)


def look_on(watch: LeaseWatch, clock: Clock, looks: int, *found: Lease) -> None:
    """Look again and again, at the usual pace, at leases that stand still."""
    for _ in range(looks):
        clock.now += LOOK_S
        watch.look(found)


def test_nobody_lives_before_the_first_look(watch: LeaseWatch) -> None:
    assert not watch.lives(ME)
    assert not watch.lives(None)


def test_whoever_has_a_lease_lives_at_the_first_look(watch: LeaseWatch) -> None:
    watch.look([Lease(NAME, ME, 17, 10.0)])

    assert watch.lives(ME)
    assert not watch.lives(OTHER)
    assert not watch.lives(None)


def test_who_beats_lives_for_ever(watch: LeaseWatch, clock: Clock) -> None:
    for beat in range(100):
        clock.now += LOOK_S
        watch.look([Lease(NAME, ME, beat, 3.0)])
        assert watch.lives(ME)


def test_a_beat_that_stands_still_for_the_leases_length_has_lapsed(
    watch: LeaseWatch, clock: Clock
) -> None:
    still = Lease(NAME, ME, 5, 3.0)
    watch.look([still])

    look_on(watch, clock, 2, still)
    assert watch.lives(ME)

    look_on(watch, clock, 1, still)
    assert not watch.lives(ME)


def test_the_length_is_the_leases_own(watch: LeaseWatch, clock: Clock) -> None:
    short, long = Lease("worker one", ME, 0, 2.0), Lease("worker two", OTHER, 0, 30.0)
    watch.look([short, long])

    look_on(watch, clock, 2, short, long)
    assert (watch.lives(ME), watch.lives(OTHER)) == (False, True)

    look_on(watch, clock, 28, short, long)
    assert (watch.lives(ME), watch.lives(OTHER)) == (False, False)


def test_one_beat_gives_the_whole_length_anew(watch: LeaseWatch, clock: Clock) -> None:
    watch.look([Lease(NAME, ME, 0, 3.0)])
    look_on(watch, clock, 2, Lease(NAME, ME, 0, 3.0))

    look_on(watch, clock, 3, Lease(NAME, ME, 1, 3.0))
    assert watch.lives(ME)

    look_on(watch, clock, 1, Lease(NAME, ME, 1, 3.0))
    assert not watch.lives(ME)


def test_who_wakes_up_after_it_lapsed_lives_again(watch: LeaseWatch, clock: Clock) -> None:
    look_on(watch, clock, 5, Lease(NAME, ME, 0, 3.0))
    assert not watch.lives(ME)

    look_on(watch, clock, 1, Lease(NAME, ME, 1, 3.0))
    assert watch.lives(ME)


def test_a_beat_that_went_back_is_a_move_too(watch: LeaseWatch, clock: Clock) -> None:
    """A worker that begins anew with its name begins to count anew."""
    look_on(watch, clock, 5, Lease(NAME, ME, 900, 3.0))

    look_on(watch, clock, 1, Lease(NAME, ME, 0, 3.0))
    assert watch.lives(ME)


def test_a_watcher_that_slept_for_an_hour_takes_nobody_for_dead(
    watch: LeaseWatch, clock: Clock
) -> None:
    still = Lease(NAME, ME, 5, 3.0)
    watch.look([still])
    clock.now += 3600

    watch.look([still])
    assert watch.lives(ME)

    # But it has not become immortal either.
    look_on(watch, clock, 3, still)
    assert not watch.lives(ME)


def test_looking_more_often_does_not_make_a_lease_shorter(watch: LeaseWatch, clock: Clock) -> None:
    still = Lease(NAME, ME, 5, 3.0)
    watch.look([still])

    for _ in range(29):
        clock.now += 0.1
        watch.look([still])
    assert watch.lives(ME)

    clock.now += 0.2
    watch.look([still])
    assert not watch.lives(ME)


def test_who_gave_up_or_was_replaced_does_not_live(watch: LeaseWatch, clock: Clock) -> None:
    watch.look([Lease(NAME, ME, 5, 3.0)])

    look_on(watch, clock, 1, Lease(NAME, OTHER, 0, 3.0))

    assert not watch.lives(ME)
    assert watch.lives(OTHER)


def test_who_comes_back_is_not_charged_for_its_absence(watch: LeaseWatch, clock: Clock) -> None:
    same = Lease(NAME, ME, 5, 3.0)
    look_on(watch, clock, 3, same)
    look_on(watch, clock, 1)

    look_on(watch, clock, 1, same)
    assert watch.lives(ME)


# --- the keeper


async def beats(leases: Leases) -> int:
    [lease] = await leases.all()
    return lease.beat


async def test_a_keeper_takes_renews_and_gives_up(leases: Leases) -> None:
    async with LeaseKeeper(leases, NAME, SHORT_S) as keeper:
        [taken] = await leases.all()
        assert (taken.name, taken.holder, taken.length_s) == (NAME, keeper.holder, SHORT_S)

        async def has_renewed() -> bool:
            return await beats(leases) >= 3

        await wait_until(has_renewed)
        assert not keeper.superseded.is_set()

    assert await leases.all() == ()


async def test_a_lease_that_stood_still_for_ages_is_forgotten_unless_it_moves(
    leases: Leases,
) -> None:
    moment = 0.0
    watch = LeaseWatch(look_every_s=10.0, now=lambda: moment)
    await leases.take(NAME, OTHER, 1.0)
    while not watch.long_gone():
        watch.look(await leases.all())
        moment += 20.0
    [gone] = watch.long_gone()
    assert moment >= FORGOTTEN_AFTER
    assert not watch.lives(OTHER)

    assert await leases.renew(NAME, OTHER)
    await leases.forget(gone)
    assert await held_by(leases) == OTHER

    [now] = await leases.all()
    await leases.forget(now)
    assert await leases.all() == ()


async def test_every_keeper_is_a_holder_of_its_own(leases: Leases) -> None:
    assert LeaseKeeper(leases, NAME, 1.0).holder != LeaseKeeper(leases, NAME, 1.0).holder


async def test_a_keeper_outlives_a_time_in_which_it_could_not_renew(
    store: Store, second: Store
) -> None:
    async with LeaseKeeper(store.leases, NAME, SHORT_S) as keeper:

        async def has_renewed() -> bool:
            return await beats(store.leases) >= 3

        async with open_write(second.database) as connection:
            # Another transaction has the row, or with SQLite the whole database.
            await connection.execute(update(leases_table).values(length_s=leases_table.c.length_s))
        await wait_until(has_renewed)
        assert not keeper.superseded.is_set()


async def test_a_keeper_whose_name_was_taken_says_so_and_takes_nothing_back(
    store: Store, second: Store
) -> None:
    async with LeaseKeeper(store.leases, NAME, SHORT_S) as first:
        async with LeaseKeeper(second.leases, NAME, SHORT_S) as later:
            async with asyncio.timeout(20):
                await first.superseded.wait()

            assert await held_by(store.leases) == later.holder
            assert not later.superseded.is_set()
        # It came to its end in good order: the place is free, and the first one leaves it so.
        assert await store.leases.all() == ()
    assert await store.leases.all() == ()


async def test_a_keeper_that_was_replaced_does_not_give_up_the_others_lease(
    leases: Leases,
) -> None:
    async with LeaseKeeper(leases, NAME, 600.0):
        await leases.take(NAME, OTHER, 20.0)

    assert await held_by(leases) == OTHER


async def test_an_error_in_the_holder_gives_the_lease_up(leases: Leases) -> None:
    with pytest.raises(ValueError, match="stumbled"):
        async with LeaseKeeper(leases, NAME, 600.0):
            raise ValueError("stumbled")

    assert await leases.all() == ()


async def test_who_is_cancelled_while_it_takes_the_lease_leaves_none_behind(
    store: Store, leases: Leases
) -> None:
    name = leases_table.c.name
    await leases.take(NAME, OTHER, 20.0)
    async with open_write(store.database) as connection:
        # The keeper waits for this row, or with SQLite for this transaction.
        await connection.execute(update(leases_table).where(name == NAME).values(beat=7))
        entering = asyncio.create_task(LeaseKeeper(leases, NAME, 600.0).__aenter__())
        await asyncio.sleep(0)
        entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering

    # SQLite's write had not begun: nothing was taken from the other one.
    assert {lease.holder for lease in await leases.all()} <= {OTHER}
