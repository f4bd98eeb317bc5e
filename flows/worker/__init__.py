"""The worker: one beside each ComfyUI, flow runs inside its own process."""
