"""What a callback must fulfil beyond its form: nothing here asks the network."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.callbacks.addresses import AllowedAddresses, literal
from core.callbacks.callback import Callback
from core.callbacks.url import Receiver
from core.problems import FieldProblem
from core.wording import nearest


@dataclass(frozen=True)
class CallbackRules:
    """``names`` are those of the stored callbacks."""

    allowed: AllowedAddresses = field(default_factory=AllowedAddresses)
    names: frozenset[str] = frozenset()

    def problem(self, callback: Callback | None) -> FieldProblem | None:
        """Returns why the callback cannot be taken; None if it can."""
        if callback is None:
            return None
        if callback.name is not None and callback.name not in self.names:
            near = nearest(callback.name, sorted(self.names), what="stored callbacks")
            said = f"no callback of this name is stored (`easel webhooks add NAME URL`); {near}"
            return FieldProblem(("callback",), "unknown_callback", said)
        if callback.url is not None:
            return self.refusal(callback.url)
        return None

    def refusal(self, url: str) -> FieldProblem | None:
        """Returns why a URL is refused by the look of its host alone."""
        host = Receiver.of(url).host
        address = literal(host)
        if address is None or self.allowed.permits(host, address):
            return None
        return FieldProblem(("callback_url",), "address_not_allowed", not_allowed(host))


def not_allowed(host: str, address: str = "") -> str:
    """Returns why a host is not reached, and what to do about it."""
    where = f"{host} ({address})" if address and address != host else host
    return (
        f"{where} is not an address of the public internet. If it is your own receiver, allow it: "
        f"start Easel with EASEL_WEBHOOKS__ALLOW='[\"{host}\"]'"
    )
