"""The soak: generations without a pause, faults at random, and a ledger at the end.

``python -m tests.chaos.soak --minutes 10 --seed 1``; the exit code is 1 when anything was violated.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from prefect.exceptions import PrefectHTTPStatusError

from tests.chaos.crowd import Crowd
from tests.chaos.house import SETTLED_WITHIN_S, ChaosStack, a_request
from tests.chaos.mischief import Mischief
from tests.chaos.soak_batches import BatchClient
from tests.chaos.soak_callbacks import Ears
from tests.harness.generations import BASE, FINAL, GenerationHandle

IN_FLIGHT: Final = 6


@dataclass(eq=False)
class Asked:
    """One generation as its client knows it."""

    key: str
    body: dict[str, Any]
    id: str | None = None
    status: str = "not accepted"
    attempt: int = 1
    deleted: bool = False
    deleted_at: float = 0.0
    wish: str | None = None
    """What the client will do to it: cancel, delete, nothing."""
    run: str | None = None


@dataclass
class Ledger:
    """What happened."""

    asked: list[Asked] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    status_ms: list[float] = field(default_factory=list)
    """How long answers to GET status took, faults downstream and all."""

    def violated(self, what: str) -> None:
        """An invariant did not hold."""
        if what not in self.violations:
            self.violations.append(what)
            print(f"VIOLATION: {what}", flush=True)


class Clients:
    """Ask, look, cancel, delete and retry, as clients on a bad line do: again until answered."""

    def __init__(
        self, house: ChaosStack, ledger: Ledger, ears: Ears, chance: random.Random
    ) -> None:
        self._house = house
        self._ledger = ledger
        self._ears = ears
        self._chance = chance
        self.batches = BatchClient(house, ears, random.Random(chance.random()))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clients")

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for nothing more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
                active = [one for one in self._ledger.asked if one.status not in FINAL]
                if len(active) < IN_FLIGHT:
                    self._ask()
                self.batches.ask()
            except httpx.TransportError:
                pass
            time.sleep(0.1)

    def _ask(self) -> None:
        number = len(self._ledger.asked)
        body = a_request(self._chance.randrange(1_000_000)) | {
            "priority": self._chance.choice(["interactive", "interactive", "bulk"]),
            "callback_url": self._ears.url,
        }
        wish = self._chance.choices([None, "cancel", "delete"], [80, 12, 8])[0]
        asked = Asked(f"soak {number}", body, wish=wish)
        self._ledger.asked.append(asked)
        self._create(asked)

    def _create(self, asked: Asked) -> None:
        answer = self._house.api.post(
            f"{BASE}/create", json=asked.body, headers={"Idempotency-Key": asked.key}
        )
        if answer.status_code == 202:
            asked.id, asked.status = answer.json()["task_id"], "queued"
            self._create_again(asked)
        elif answer.status_code != 503:
            self._ledger.violated(f"create answered {answer.status_code}: {answer.text[:200]}")

    def _create_again(self, asked: Asked) -> None:
        """Sometimes the client does not believe it."""
        if self._chance.random() < 0.1:
            again = self._house.api.post(
                f"{BASE}/create", json=asked.body, headers={"Idempotency-Key": asked.key}
            )
            if again.status_code == 202 and again.json()["task_id"] != asked.id:
                self._ledger.violated(f"{asked.key} made two generations")

    def look(self) -> None:
        """At everything that has not ended; httpx.TransportError when the API is away."""
        for asked in self._ledger.asked:
            if asked.id is None:
                self._create(asked)
            elif asked.status not in FINAL and not asked.deleted:
                self._look_at(asked)
        self.batches.look()

    def _look_at(self, asked: Asked) -> None:
        answer = self._house.api.get(f"{BASE}/status/{asked.id}")
        if answer.status_code in (404, 410):
            self._ledger.violated(f"{asked.id} was accepted and is {answer.status_code}")
        if not answer.is_success:
            return
        self._ledger.status_ms.append(answer.elapsed.total_seconds() * 1000)
        document = answer.json()
        asked.status, asked.attempt = document["status"], document["attempt"]
        if asked.wish is not None and self._chance.random() < 0.2:
            self._wish(asked)

    def _wish(self, asked: Asked) -> None:
        if asked.wish == "cancel":
            self._house.api.post(f"{BASE}/{asked.id}/cancel")
        elif self._house.api.delete(f"{BASE}/{asked.id}").status_code == 204:
            asked.deleted, asked.status = True, "cancelled"
            asked.deleted_at = time.monotonic()
        asked.wish = None


def _checked(house: ChaosStack, ledger: Ledger, ears: Ears) -> Counter[int]:
    """Hold everything against the invariants; how often prompts were rendered."""
    renders: Counter[str] = Counter()
    lives: Counter[tuple[str, str, int]] = Counter()
    for emulator in house.emulators:
        state = emulator.state()
        renders.update(state["renders"])
        for execution in state["executions"]:
            lives[execution["prompt_id"], emulator.url, execution["incarnation"]] += 1
    for (prompt_id, _, _), times in lives.items():
        if times > 1:
            ledger.violated(f"prompt {prompt_id} was executed {times} times in one life")
    for asked in ledger.asked:
        if asked.id is not None:
            _check_one(house, ledger, asked, house.generation(asked.id))
            _check_events(ledger, ears, asked)
    if unsigned := ears.figures()["not_signed"]:
        ledger.violated(f"{unsigned} requests to the receiver were not signed as they must be")
    if any(house.comfy_queues()):
        ledger.violated(f"ComfyUI still has {house.comfy_queues()}")
    for finding in house.audit():
        ledger.violated(f"{finding.kind}: {finding.path} ({finding.detail})")
    return Counter(renders.values())


def _check_one(
    house: ChaosStack, ledger: Ledger, asked: Asked, generation: GenerationHandle
) -> None:
    answer = generation.get()
    if asked.deleted:
        if answer.status_code != 410:
            ledger.violated(f"{asked.id} was deleted and answers {answer.status_code}")
        if list(house.home.glob(f"images/*/{asked.id}/*")):
            ledger.violated(f"{asked.id} was deleted and has files")
        return
    document = answer.json()
    if asked.status in FINAL and document["status"] != asked.status:
        ledger.violated(f"{asked.id} was {asked.status} and is {document['status']}")
    if document["status"] not in FINAL:
        ledger.violated(f"{asked.id} is {document['status']} at the end: {document}")
    asked.status = document["status"]
    if asked.status == "succeeded":
        house.check_pictures(generation)
    if asked.status == "failed":
        print(f"failed: {asked.id}: {document['error']['code']}: {document['error']['detail']}")


def _check_events(ledger: Ledger, ears: Ears, asked: Asked) -> None:
    assert asked.id is not None
    if asked.deleted:
        for late in ears.heard_after(asked.id, asked.deleted_at):
            ledger.violated(f"{asked.id} was deleted, and {late.type} came after that")
    elif not ears.has_taken(f"generation.{asked.status}", asked.id, asked.attempt):
        ledger.violated(f"{asked.id} is {asked.status}, and its receiver was not told")


def _all_told(ledger: Ledger, ears: Ears) -> bool:
    """Whether the receiver has taken the end of everything that was not deleted."""
    return all(
        ears.has_taken(f"generation.{one.status}", one.id, one.attempt)
        for one in ledger.asked
        if one.id is not None and not one.deleted
    )


def _settled(house: ChaosStack, ledger: Ledger, clients: Clients, ears: Ears) -> None:
    """Bring everything back and give it time."""
    house.heal()
    ears.get_well()
    if "second" not in house.lasting:
        house.part("second").terminate()
    deadline = time.monotonic() + 3 * SETTLED_WITHIN_S
    while time.monotonic() < deadline:
        house.revive()  # what was asked to stop may have taken its time
        with suppress(httpx.HTTPError, PrefectHTTPStatusError):
            house.resume_all()
            clients.look()
        ended = all(asked.status in FINAL for asked in ledger.asked) and clients.batches.is_done
        if ended and _all_told(ledger, ears) and clients.batches.all_told:
            break
        time.sleep(0.5)
    _told_to_prefect(house)
    house.wait_until_idle()


def _told_to_prefect(house: ChaosStack) -> None:
    """Return when Prefect knows how everything ended, or when it comes to know nothing more."""
    left, since = house.untold(), time.monotonic()
    while left and time.monotonic() - since < SETTLED_WITHIN_S:
        time.sleep(0.5)
        now = house.untold()
        if now < left:
            left, since = now, time.monotonic()


def soak(
    minutes: float, seed: int, folder: Path, kind: type[ChaosStack] = ChaosStack
) -> dict[str, Any]:
    """Run it; the ledger as JSON."""
    chance = random.Random(seed)
    house, ledger = kind(folder), Ledger()
    mischief = Mischief(house, random.Random(chance.random()))
    ears = Ears(house, random.Random(chance.random()))
    clients = Clients(house, ledger, ears, random.Random(chance.random()))
    began = time.monotonic()
    listening = ExitStack()
    try:
        house.start()
        listening.enter_context(ears)
        clients.start()
        until = time.monotonic() + minutes * 60
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.5, 5))
            mischief.cure()
            mischief.known = house.runs_under_way()
            mischief.do_one()
        clients.stop()
        _settled(house, ledger, clients, ears)
        renders = _checked(house, ledger, ears)
        for what in clients.batches.violations():
            ledger.violated(what)
    finally:
        clients.stop()
        house.stop()
        listening.close()
    ends = Counter("deleted" if one.deleted else one.status for one in ledger.asked)
    return {
        "seed": seed,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "generations": len(ledger.asked),
        "ends": dict(sorted(ends.items())),
        "batches": clients.batches.ends(),
        "callbacks": ears.figures(),
        "prompts_by_renders": {str(times): n for times, n in sorted(renders.items())},
        "status_ms": _figures(ledger.status_ms),
        "faults": sum(mischief.done.values()),
        "faults_by_kind": dict(sorted(mischief.done.items())),
        "violations": ledger.violations,
    }


def _figures(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        f"p{share}": round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 1)
        for share in (50, 95, 99)
        if ordered
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--crowd", action="store_true", help="three workers, two ComfyUI")
    parser.add_argument("--keep", type=Path, help="a folder for homes and logs (else a temporary)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="easel-soak-") as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        kind = Crowd if arguments.crowd else ChaosStack
        ledger = soak(arguments.minutes, arguments.seed, folder, kind)
    print(json.dumps(ledger, indent=2))
    return 1 if ledger["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
