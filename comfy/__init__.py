"""ComfyUI: graph builder, workflow templates, client, messages, errors, emulator.

Knows no Prefect, no FastAPI, no SQLAlchemy and no settings.
"""

from comfy.answers import Device, HistoryEntry, QueueItem, QueueState, Submission, SystemStats
from comfy.catalogue import Catalogue
from comfy.client import ComfyClient
from comfy.errors import (
    ComfyError,
    ComfyProtocolError,
    ComfyTimeoutError,
    ComfyTooOldError,
    ComfyUnreachableError,
    DeclarationError,
    ExecutionFailedError,
    ExecutionTimeoutError,
    ForeignPromptError,
    HeldBackError,
    InputRefusedError,
    NoOutputError,
    NothingSentError,
    NotImportableError,
    OutOfMemoryComfyError,
    PaidNodesError,
    PromptInterruptedError,
    PromptLostError,
    TransientComfyError,
    UnusableFileError,
    WorkflowFileError,
    WorkflowRejectedError,
    is_transient,
)
from comfy.events import (
    ComfyAway,
    ComfyBack,
    OutputReady,
    Preview,
    Progress,
    Queued,
    Started,
    TrackEvent,
)
from comfy.graph import Graph, GraphBuilder
from comfy.inputs import InputFile
from comfy.messages import Output, OutputFile, OutputText
from comfy.outputs import FetchedFile, FetchedImage
from comfy.session import ComfySession
from comfy.submission import Submitted
from comfy.workflows import (
    BUILT_IN,
    TXT2IMG,
    UnresolvableError,
    build_graph,
    resolve,
)

__all__ = [
    "BUILT_IN",
    "TXT2IMG",
    "Catalogue",
    "ComfyAway",
    "ComfyBack",
    "ComfyClient",
    "ComfyError",
    "ComfyProtocolError",
    "ComfySession",
    "ComfyTimeoutError",
    "ComfyTooOldError",
    "ComfyUnreachableError",
    "DeclarationError",
    "Device",
    "ExecutionFailedError",
    "ExecutionTimeoutError",
    "FetchedFile",
    "FetchedImage",
    "ForeignPromptError",
    "Graph",
    "GraphBuilder",
    "HeldBackError",
    "HistoryEntry",
    "InputFile",
    "InputRefusedError",
    "NoOutputError",
    "NotImportableError",
    "NothingSentError",
    "OutOfMemoryComfyError",
    "Output",
    "OutputFile",
    "OutputReady",
    "OutputText",
    "PaidNodesError",
    "Preview",
    "Progress",
    "PromptInterruptedError",
    "PromptLostError",
    "QueueItem",
    "QueueState",
    "Queued",
    "Started",
    "Submission",
    "Submitted",
    "SystemStats",
    "TrackEvent",
    "TransientComfyError",
    "UnresolvableError",
    "UnusableFileError",
    "WorkflowFileError",
    "WorkflowRejectedError",
    "build_graph",
    "is_transient",
    "resolve",
]
