"""The field that says which stored callback hears how a batch ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from web.parts.elements import box, show_if
from web.parts.fields import choice

_NONE: Final = ""


class CallbackField:
    """Hidden while no callback is stored: only their names can be chosen, never a URL."""

    def __init__(self, chosen: str | None, on_choose: Callable[[str | None], Any]) -> None:
        self._row = box("is-away")
        with self._row:
            self.field = choice("Callback", {}, None, lambda name: on_choose(name or None))
        self.offer((), chosen)

    def offer(self, names: Iterable[str], chosen: str | None) -> None:
        """Offer these names, and the chosen one: if it is stored no more, the start refuses it."""
        known = dict.fromkeys([*([chosen] if chosen is not None else []), *names])
        show_if(self._row, known)
        options = {_NONE: "None", **{name: name for name in sorted(known)}}
        self.field.set_options(options, value=chosen or _NONE)
