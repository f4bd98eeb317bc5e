"""Values that are read now and then, however often they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from api.cached import Cached


class Source:
    """Counts how often it is read; ``broken`` makes it fail."""

    def __init__(self, *values: int | None) -> None:
        self._values = values
        self.reads = 0
        self.broken = False

    async def read(self) -> int | None:
        self.reads += 1
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("away")
        return self._values[min(self.reads, len(self._values)) - 1]


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - it is read in passing
        await asyncio.sleep(0)


@pytest.mark.parametrize("value", [1, 0, None])
async def test_it_is_read_once_for_all_who_ask(value: int | None) -> None:
    source = Source(value)
    cached = Cached(source.read, max_age_s=60)

    assert await asyncio.gather(*(cached.get() for _ in range(10))) == [value] * 10
    assert await cached.get() == value
    assert source.reads == 1


async def test_it_is_read_again_when_it_is_old() -> None:
    source = Source(1, 2, 3)
    cached = Cached(source.read, max_age_s=-1)

    assert [await cached.get() for _ in range(3)] == [1, 2, 3]


async def test_who_asks_first_gets_the_old_value_while_it_can_be_used() -> None:
    source = Source(1, 2)
    cached = Cached(source.read, max_age_s=-1)
    assert [await cached.get(usable_s=60) for _ in range(3)] == [1, 1, 1]
    await _until(lambda: source.reads == 2)
    while await cached.get(usable_s=60) == 1:  # noqa: ASYNC110 - it is read in passing
        await asyncio.sleep(0)


async def test_a_failure_for_those_who_come_next_is_not_theirs_who_asked() -> None:
    source = Source(1, 2, 3)
    cached = Cached(source.read, max_age_s=-1)
    assert await cached.get(usable_s=60) == 1
    source.broken = True
    assert await cached.get(usable_s=60) == 1
    await _until(lambda: source.reads == 2)
    assert await cached.get(usable_s=60) == 1
    source.broken = False
    while await cached.get(usable_s=60) == 1:  # noqa: ASYNC110 - it is read in passing
        await asyncio.sleep(0)


async def test_a_failure_is_not_kept() -> None:
    source = Source(1, 2)
    cached = Cached(source.read, max_age_s=60)
    source.broken = True
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            await cached.get()

    source.broken = False

    assert await cached.get() == 2
    assert await cached.get() == 2
    assert source.reads == 3
