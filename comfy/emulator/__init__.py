"""A ComfyUI that needs no model: its protocol on a real socket, real pictures, scripted faults.

It is the other end of the protocol and imports nothing else of Easel.
"""

from .emulator import Emulator
from .faults import Faults
from .options import EmulatorOptions

__all__ = ["Emulator", "EmulatorOptions", "Faults"]
