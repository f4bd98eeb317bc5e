"""How large a workflow may be. Everything beyond is refused, with what and where."""

from __future__ import annotations

from typing import Final

JSON_MAX: Final = 50_000_000
"""The most bytes of one JSON document."""
CONTAINERS_MAX: Final = 1_000_000
"""The most objects and arrays of a document: 20,000 nodes with all their parts."""
VALUES_MAX: Final = 5_000_000
"""The most commas of a document, which bounds what it takes in memory."""
DEPTH_MAX: Final = 100
"""How deep a document may nest."""
NODES_MAX: Final = 20_000
"""The most nodes of a workflow, those of all instances of its subgraphs counted."""
LINKS_MAX: Final = 200_000
"""The most links of a workflow."""
SUBGRAPH_DEPTH_MAX: Final = 16
"""How deep subgraphs may nest."""
TEXTS_MAX: Final = 500
"""The most texts that are read from a media file."""
