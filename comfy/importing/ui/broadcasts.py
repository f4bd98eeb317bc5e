"""Use Everywhere: nodes that feed every open input of a type, without a link on the page.

The pack keeps the links that it makes in ``extra.ue_links``. Older files do not have them; then a
type that exactly one node broadcasts is taken for all open sockets of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from comfy.importing.documents import mappings
from comfy.importing.ui.nodes import BYPASSED, MUTED, Link, Socket, UiNode, is_id
from comfy.importing.ui.page_nodes import BROADCASTERS, PAGE_ONLY
from comfy.importing.ui.scopes import Definition, Scope, Scopes
from comfy.nodes.types import fits

_PLAIN: Final = ("Anything Everywhere", "Anything Everywhere3")
_PROMPTS: Final = "Prompts Everywhere"
_LINK_ID: Final = "everywhere"


class Broadcasts:
    """The links of one workflow that are not among its links."""

    def __init__(self, scopes: Scopes) -> None:
        self._kept: dict[str, dict[tuple[str, int], Link]] = {}
        self._guessed: dict[str, dict[str, Link]] = {}
        self.unconnected: list[str] = []
        """Ids of broadcasting nodes whose targets the file does not tell."""
        for definition in {id(scope.definition): scope.definition for scope in scopes}.values():
            self._read(definition)

    def link_to(self, scope: Scope, node: UiNode, slot: int) -> Link | None:
        """The link to an input without one, None if nothing feeds it."""
        key = scope.definition.definition_id
        kept = self._kept.get(key, {}).get((node.node_id, slot))
        if kept or node.type in PAGE_ONLY:
            return kept
        socket = node.inputs[slot]
        guessed = {} if socket.widget else self._guessed.get(key, {})
        return guessed.get(f"{socket.type} {socket.name}") or guessed.get(socket.type)

    def _read(self, definition: Definition) -> None:
        key = definition.definition_id
        kept = definition.extra.get("ue_links")
        senders = [
            node
            for node in definition.nodes.values()
            if node.type in BROADCASTERS and node.mode not in (MUTED, BYPASSED)
        ]
        if isinstance(kept, list) and kept:
            self._kept[key] = dict(_kept(definition, kept))
        elif senders:
            self._guessed[key] = dict(_guessed(senders, definition))
            sent = {link.origin_id for link in self._guessed[key].values()}
            for sender in senders:
                links = [
                    definition.links.get(each.link)
                    for each in sender.inputs
                    if each.link is not None
                ]
                if any(link and link.origin_id not in sent for link in links):
                    self.unconnected.append(sender.node_id)


def _kept(definition: Definition, told: list[Any]) -> Iterator[tuple[tuple[str, int], Link]]:
    for entry in mappings(told):
        target, origin = entry.get("downstream"), entry.get("upstream")
        slot, origin_slot = entry.get("downstream_slot"), entry.get("upstream_slot")
        if not (is_id(target) and is_id(origin) and isinstance(slot, int)):
            continue
        node = definition.nodes.get(str(target))
        if node is None or not 0 <= slot < len(node.inputs):
            continue
        from_slot = origin_slot if isinstance(origin_slot, int) and origin_slot >= 0 else 0
        link = Link(_LINK_ID, str(origin), from_slot, str(target), slot)
        yield (str(target), slot), link


def _guessed(senders: list[UiNode], definition: Definition) -> Iterator[tuple[str, Link]]:
    by_type: dict[str, list[Link]] = {}
    for sender in senders:
        for socket in sender.inputs:
            link = definition.links.get(socket.link) if socket.link is not None else None
            if link and sender.type in _PLAIN:
                by_type.setdefault(_type_of(link, definition.nodes, socket.type), []).append(link)
            elif link and sender.type == _PROMPTS:
                by_type.setdefault(f"CONDITIONING {_sign(sender, socket)}", []).append(link)
    for kind, links in by_type.items():
        if len(links) == 1 and kind != "*":
            yield kind, links[0]


def _sign(sender: UiNode, socket: Socket) -> str:
    """Which of the two inputs that take conditions, in the order of the sockets."""
    return "positive" if socket is sender.inputs[0] else "negative"


def _type_of(link: Link, nodes: Mapping[str, UiNode], told: str) -> str:
    origin = nodes.get(link.origin_id)
    if origin and link.origin_slot < len(origin.outputs):
        given = origin.outputs[link.origin_slot].type
        return given if fits(given, told) else told
    return told
