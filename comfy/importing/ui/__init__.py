"""The UI form of workflows, as ComfyUI's page saves them, converted to graphs in API format."""

from comfy.importing.ui.conversion import Conversion, convert

__all__ = ["Conversion", "convert"]
