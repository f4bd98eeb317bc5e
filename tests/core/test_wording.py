from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.wording import about, ago, brief, duration, figure, nearest, place_in_queue

NOW = datetime(2026, 6, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "under a second"),
        (1.2, "1 second"),
        (42.4, "42 seconds"),
        (120, "2 minutes"),
        (3600, "1 hour"),
        (7080, "1 hour and 58 minutes"),
        (90_000, "1 day and 1 hour"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.1 s"),
        (0.62, "0.6 s"),
        (0.97, "1 s"),
        (3.6, "4 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (5340, "89 min"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_with_units(seconds: float, words: str) -> None:
    assert brief(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "under a second"), (1, "about 1 second"), (720, "about 12 minutes")],
)
def test_estimates(seconds: float, words: str) -> None:
    assert about(seconds) == words


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=5), "5 minutes ago"),
        (timedelta(hours=3), "3 hours ago"),
        (timedelta(days=2), "1 Jun 2026"),
    ],
)
def test_how_long_ago(passed: timedelta, words: str) -> None:
    assert ago(NOW - passed, NOW) == words


def test_the_place_in_the_queue() -> None:
    assert [place_in_queue(ahead) for ahead in (0, 1, 2, 20)] == [
        "next in queue",
        "2nd in queue",
        "3rd in queue",
        "21st in queue",
    ]


def test_of_very_many_names_the_first_are_compared() -> None:
    known = [f"{number:05}" for number in range(10_000)] + ["a fox"]

    assert nearest("A fox", known, "names") == "there are 10001 names, such as 00000"


def test_the_nearest_of_thousands_is_found() -> None:
    known = [f"folder/some_lora_{number}_v{number % 7}.safetensors" for number in range(4_000)]

    said = nearest("folder/sme_lora_777_v0.safetensor", known, "files")

    assert "folder/some_lora_777_v0.safetensors" in said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (0.5, "0.5"), (2.0, "2"), (16384, "16,384"), (2**53 - 1, "9,007,199,254,740,991")],
)
def test_a_figure_has_all_its_digits(value: float, said: str) -> None:
    assert figure(value) == said
