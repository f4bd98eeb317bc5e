"""What a release of ComfyUI does that others do not: what is emulated follows its version."""

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Release:
    """One version, and which of the differences it has. Facts that lie between two versions that
    were looked at (0.3.64, 0.24.0, 0.26.0, 0.33.0) count from the later one on."""

    version: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Self:
        """Read `0.33.0`; parts that are no number are left out."""
        return cls(tuple(int(part) for part in text.split(".") if part.isdigit()))

    @property
    def keeps_prompt_ids(self) -> bool:
        """The id that a client gives a prompt is kept."""
        return self.version >= (0, 3, 45)

    @property
    def interrupts_one(self) -> bool:
        """POST /interrupt with an id spares other prompts."""
        return self.version >= (0, 3, 57)

    @property
    def checks_prompt_ids(self) -> bool:
        """An id must be a UUID; earlier ones take any value as text."""
        return self.version >= (0, 24)

    @property
    def lists_jobs(self) -> bool:
        """GET /api/jobs exists."""
        return self.version >= (0, 24)

    @property
    def checks_combos(self) -> bool:
        """A choice of a class in the newer style must be one that is offered."""
        return self.version >= (0, 24)

    @property
    def counts_previews(self) -> bool:
        """A job says how many of its outputs can be shown."""
        return self.version >= (0, 33)

    @property
    def cancels_jobs(self) -> bool:
        """POST /api/jobs/{id}/cancel exists."""
        return self.version >= (0, 26)

    @property
    def throttles_progress(self) -> bool:
        """Progress without a picture is sent ten times a second at most."""
        return self.version >= (0, 24)

    @property
    def guards_views(self) -> bool:
        """GET /view forbids browsers to guess, and has what could be a script downloaded."""
        return self.version >= (0, 33)

    @property
    def features(self) -> dict[str, Any]:
        """GET /features, and the answer to a socket's negotiation."""
        features: dict[str, Any] = {"supports_preview_metadata": True}
        if self.version >= (0, 33):
            features["supports_model_type_tags"] = True
        features["max_upload_size"] = 100 * 2**20
        if self.version >= (0, 24):
            features["extension"] = {"manager": {"supports_v4": True}}
            features["node_replacements"] = True
            features["assets"] = False
        return features

    @property
    def says_packages(self) -> bool:
        """/system_stats names its packages, and how it was installed."""
        return self.version >= (0, 24)

    @property
    def replaces_nodes(self) -> bool:
        """GET /node_replacements and /global_subgraphs exist."""
        return self.version >= (0, 24)

    @property
    def hides_secrets(self) -> bool:
        """GET /queue shows no keys of paid services, either."""
        return self.version >= (0, 24)

    @property
    def notes_sources(self) -> bool:
        """The header Comfy-Usage-Source is kept with the prompt."""
        return self.version >= (0, 33)
