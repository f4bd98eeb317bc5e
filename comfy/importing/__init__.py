"""Import of workflows: from a file's bytes to a graph in API format, and what is wrong with it.

Pure: nothing is executed, nothing is fetched, whatever a file names.
"""

from comfy.importing.findings import (
    Findings,
    GraphProblem,
    MissingClass,
    MissingModel,
    Notice,
    PaidClass,
)
from comfy.importing.imported import (
    Container,
    DroppedNode,
    GraphForm,
    GraphJson,
    ImportedGraph,
    OutputNode,
    Source,
)
from comfy.importing.marks import AppInput, AppMode, Marks, NodeMarks, Place, SharedValue

__all__ = [
    "AppInput",
    "AppMode",
    "Container",
    "DroppedNode",
    "Findings",
    "GraphForm",
    "GraphJson",
    "GraphProblem",
    "ImportedGraph",
    "Marks",
    "MissingClass",
    "MissingModel",
    "NodeMarks",
    "Notice",
    "OutputNode",
    "PaidClass",
    "Place",
    "SharedValue",
    "Source",
]
