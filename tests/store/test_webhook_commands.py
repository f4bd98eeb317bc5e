"""`easel webhooks` on each kind of database: the commands open the store beside a running Easel."""

from __future__ import annotations

import json
from pathlib import Path

from core.callbacks.callback import Callback
from flows.testing import InProcessWorker
from store.store import Store
from tests.cli.running import easel
from tests.store.making import a_request

URL = "https://shop.example/easel"


async def test_every_command_works_on_it(store: Store, url: str, tmp_path: Path) -> None:
    async def webhooks(*arguments: str) -> str:
        more = {"EASEL_STORE__URL": url}
        ended = await easel("webhooks", *arguments, home=tmp_path / "home", more=more)
        assert ended.code == 0, ended.err
        return ended.out

    [new, former] = (await webhooks("secret", "--rotate")).split()
    assert await store.secrets.valid() == (new, former)
    assert (await webhooks("secret", "--retire")).split() == [new]
    assert await store.secrets.valid() == (new,)
    await webhooks("add", "shop", URL)
    await webhooks("add", "shop", URL)
    await store.callbacks.switch_off("shop", URL)
    await webhooks("enable", "shop")

    callback = Callback(name="shop", events=("generation.succeeded",))
    made = (await store.acceptance.accept(a_request(), callback=callback)).generation
    await InProcessWorker(store).finish(made.id)
    listed = json.loads(await webhooks("list", "--json", "--state", "pending"))
    [one] = listed["deliveries"]
    assert one["task_id"] == str(made.id)
    assert listed["callbacks"][0]["off_at"] is None
    assert one["delivery_id"] in await webhooks("list", "--task", str(made.id))
    assert "it is tried now" in await webhooks("redeliver", one["delivery_id"])
    await webhooks("remove", "shop")
    assert await store.callbacks.all() == ()
