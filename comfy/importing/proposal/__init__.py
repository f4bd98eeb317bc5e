"""What a graph's inputs and outputs are likely to be: proposed, for the user to change."""

from comfy.importing.proposal.editing import arranged, with_input, without_inputs
from comfy.importing.proposal.left_out import left_out
from comfy.importing.proposal.proposal import propose

__all__ = ["arranged", "left_out", "propose", "with_input", "without_inputs"]
