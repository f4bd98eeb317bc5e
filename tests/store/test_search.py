"""A search of the history finds the same on both databases, in every script."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text

from store.database import Database
from store.migrate import migrate, upgrade
from store.search.index import SEARCH
from store.search.query import Term, read_query
from store.search.words import fold, words_of
from store.store import Store
from store.tables import generations
from store.values import HistoryFilter
from tests.harness.transactions import open_read, open_write
from tests.store.batch_making import running_batch
from tests.store.making import a_request, accepted


async def found(store: Store, query: str) -> list[UUID]:
    page = await store.generations.history(HistoryFilter(q=query), 100, None)
    return [generation.id for generation in page.items]


@pytest.mark.parametrize(
    ("prompt", "queries"),
    [
        (
            "Foxes in the snow at dawn",
            ["fox", "dawn fox", "SNOW foxes", "fox snow dawn", '"in the'],
        ),
        ("Ölgemälde einer Katze", ["ölgemälde", "ÖLGEMÄLDE", "olgem", "O\u0308lgemälde", "katze"]),
        ("Привіт Лисиця", ["привіт", "ЛИС", "лисиця привіт"]),
        (
            "a blue-eyed dog, 35mm (film:1.2)",
            ["blue-eyed", "eyed", "35", "film:1.2", '"35mm film"'],
        ),
        ("ΟΔΥΣΣΕΥΣ", ["οδυσσευς", "οδυσσεύς"]),
        ("straße", ["STRASSE"]),
        ("ＦＵＬＬ ｗｉｄｔｈ", ["full width"]),
        (
            "雪の中の狐、夜明け",
            ["狐", "雪の中", "夜明", "夜明け 雪", "の中の狐", '"雪の中の狐"', "け"],
        ),
        ("戴着帽子的狐狸 4k画质", ["狐狸", "帽子", "4k", "画质", "4k画", "狐狸 帽子"]),
        ("눈 속의 여우가 달린다", ["여우", "여우가", "우가", "속의 여우"]),
        ("สุนัขจิ้งจอกในหิมะ", ["หิมะ", "จิ้งจอก", "สุนัข หิมะ"]),
        ("हिम में लोमड़ी", ["लोमड़ी", "लोम", "हिम"]),
        ("ثَعْلَب في الثلج", ["ثعلب", "الثل"]),
        ("🦊 and 🐈‍⬛!", ["🦊", "🐈", "and 🦊"]),
        ("l'été, it's a café", ["été", "ete", "l'ete", "it's", "cafe"]),
    ],
)
async def test_it_is_found(store: Store, prompt: str, queries: list[str]) -> None:
    wanted = await accepted(store, prompt=prompt)
    await accepted(store, prompt="something else entirely")
    for query in queries:
        assert await found(store, query) == [wanted.id], query


@pytest.mark.parametrize(
    ("prompt", "queries"),
    [
        ("foxes in the snow", ["oxes", "fox cat", "fox -snow", '"snow in"', '"fox"', '-"in the"']),
        ("blue eyes, a dog", ["blue-dog", '"blue dog"']),
        ("雪の中の狐", ["中狐", "狐の", '"狐雪"']),
        ("여우", ["우여"]),
    ],
)
async def test_it_is_not_found(store: Store, prompt: str, queries: list[str]) -> None:
    await accepted(store, prompt=prompt)
    for query in queries:
        assert await found(store, query) == [], query


@pytest.mark.parametrize(
    "query",
    [
        *("100%", "back\\slash", "it's", "[x]", "x:*", "a*", "^a", "\ue000", "{a|b}", "__list__"),
        *("<lora:x:0.8>", "NEAR(a b)", "terms: x", "a & b | !c", "a AND OR NOT", "NOT fox"),
        *('"a" "b', "a\u200bb", "x" * 500, "😀" * 100),
    ],
)
async def test_no_text_is_special(store: Store, query: str) -> None:
    wanted = await accepted(store, prompt=query)
    assert await found(store, query) == [wanted.id]


@pytest.mark.parametrize("query", ["%_%", "'", '"', '-"', "(", ":", "-", "--", "<->", "\u200b"])
async def test_no_words_find_nothing(store: Store, query: str) -> None:
    await accepted(store, prompt=query)
    assert await found(store, query) == []


async def test_blank_text_is_no_filter(store: Store) -> None:
    made = await accepted(store)
    assert await found(store, " ") == [made.id]


async def test_a_word_may_be_in_any_field(store: Store) -> None:
    wanted = await accepted(
        store,
        prompt="a fox",
        negative_prompt="watermark",
        model="sub/Emulator-SDXL.safetensors",
        seed=7_777_123,
    )
    other = await accepted(store)
    for query in ("watermark", "sdxl fox", "7777123", "sub/emulator-sdxl.safetensors"):
        assert await found(store, query) == [wanted.id], query
    assert await found(store, "-watermark") == [other.id]
    assert await found(store, "fox -blur") == [other.id, wanted.id]
    assert await found(store, '"fox watermark"') == []  # not across fields


async def test_loras_and_controlnets_are_found_by_their_names(store: Store) -> None:
    loras = [{"name": "styles/ink-wash.safetensors", "strength": 0.8}]
    controls = [{"model": "canny_sd15.safetensors", "strength": 1.0}]
    kept = await accepted(store, prompt="a fox", loras=loras, controls=controls)
    await accepted(store, prompt="a fox", loras="ink", controls=[None, {"model": 3}])
    for query in ("ink-wash", "styles", "canny fox"):
        assert await found(store, query) == [kept.id], query


async def test_a_batchs_generations_are_found_by_its_name(store: Store) -> None:
    await accepted(store, prompt="a cat")
    await running_batch(store, 3, released=2)
    assert len(await found(store, "foxes")) == 2  # the batch's name, in no prompt


async def test_what_is_deleted_leaves_the_index(store: Store) -> None:
    gone, kept = [(await accepted(store)).id for _ in range(2)]
    await store.transitions.delete(gone)
    assert await found(store, "fox") == [kept]
    async with open_read(store.database) as connection:
        assert len((await connection.execute(select(SEARCH.c.rowid))).all()) == 1


async def test_pages_of_a_search_miss_nothing(store: Store) -> None:
    made = [(await accepted(store, prompt=f"fox {number}")).id for number in range(7)]
    await accepted(store, prompt="a cat")
    pages: list[UUID] = []
    cursor: str | None = None
    while True:
        page = await store.generations.history(HistoryFilter(q="fox"), 3, cursor)
        pages += [generation.id for generation in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pages == made[::-1]


async def test_the_migration_indexes_what_is_there(empty_url: str) -> None:
    request = a_request(prompt="Ölgemälde", seed=0).model_dump(mode="json")
    row = {
        "status": "queued",
        "sequence": 1,
        "attempt": 1,
        "fence": 0,
        "priority": "interactive",
        "cost": 1.0,
        "created_at": datetime.now(UTC),
    }
    async with Database(empty_url) as database:
        async with open_write(database) as connection:
            await connection.run_sync(upgrade, "0005")
            for seq, stored in enumerate((request, None, {"prompt": "of another version"}), 1):
                values = {**row, "id": UUID(int=seq), "seq": seq, "change": seq, "request": stored}
                await connection.execute(insert(generations).values(**values))
        await migrate(database)
        async with open_read(database) as connection:
            rows = (await connection.execute(text("SELECT rowid FROM search"))).all()
    assert len(rows) == 3


def test_words_are_folded() -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold(unicodedata.normalize(form, "Ölgemälde")) == "olgemalde"
    assert words_of("A Fox's 35mm—snow") == ["a", "fox", "s", "35mm", "snow"]
    assert words_of("狐狸x") == ["狐狸", "狸", "x"]
    assert len(words_of("x" * 5000)[0]) == 64


def test_queries_are_read() -> None:
    assert read_query('red "two words" -not -"in this order" “curly”') == (
        Term(("red",), is_beginning=True, excluded=False),
        Term(("two", "words"), is_beginning=False, excluded=False),
        Term(("not",), is_beginning=True, excluded=True),
        Term(("in", "this", "order"), is_beginning=False, excluded=True),
        Term(("curly",), is_beginning=False, excluded=False),
    )
    assert read_query("…!") == ()
