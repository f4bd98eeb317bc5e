"""Import of workflows: from a file's bytes to a graph in API format, and what is wrong with it.

Pure: nothing is executed, nothing is fetched, whatever a file names.
"""

from comfy.importing.checking import check_graph
from comfy.importing.findings import (
    Findings,
    GraphProblem,
    MissingClass,
    MissingModel,
    Notice,
    PaidClass,
)
from comfy.importing.hints import Hints, ModelHint, PackHint
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
from comfy.importing.reading import read_workflow

__all__ = [
    "AppInput",
    "AppMode",
    "Container",
    "DroppedNode",
    "Findings",
    "GraphForm",
    "GraphJson",
    "GraphProblem",
    "Hints",
    "ImportedGraph",
    "Marks",
    "MissingClass",
    "MissingModel",
    "ModelHint",
    "NodeMarks",
    "Notice",
    "OutputNode",
    "PackHint",
    "PaidClass",
    "Place",
    "SharedValue",
    "Source",
    "check_graph",
    "read_workflow",
]
