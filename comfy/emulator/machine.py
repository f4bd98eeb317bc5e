"""The parts of one running server that its worker thread and its routes share."""

from dataclasses import dataclass, field
from typing import Any

from .cache import Cache
from .catalogue import Catalogue
from .faults import Faults
from .folders import Folders
from .ledger import Ledger
from .nodes import temp_prefix
from .options import EmulatorOptions
from .pacing import Pacing
from .prompt_queue import PromptQueue
from .release import Release
from .sampling import Sampling
from .sockets import Sockets


@dataclass
class Machine:
    """One incarnation: recreated at each restart, except options, ledger, faults, folders."""

    options: EmulatorOptions
    folders: Folders
    ledger: Ledger
    faults: Faults
    cache: Cache = field(default_factory=Cache)
    pacing: Pacing = field(default_factory=Pacing)
    temp_prefix: str = field(default_factory=temp_prefix)

    def __post_init__(self) -> None:
        self.release = Release.of(self.options.comfyui_version)
        self.catalogue = Catalogue(self.options, self.folders)
        self.queue = PromptQueue(self._queue_changed, self.options.history_limit)
        self.sockets = Sockets(self.faults, self.queue.remaining, self.features)
        self.sampling = Sampling(self.options, self.ledger, self.faults, self.pacing)

    @property
    def features(self) -> dict[str, Any]:
        """What the server can do, as it says."""
        return {**self.release.features, **({"assets": True} if self.options.assets else {})}

    def _queue_changed(self) -> None:
        self.sockets.send_status()
