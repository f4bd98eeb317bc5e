"""The worker: one per ComfyUI, executing flow runs inside its own process."""
