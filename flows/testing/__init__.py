"""A worker for tests: real attempts on a real store, without Prefect and without ComfyUI.

For tests of what reads the store (the API, the pages, a program of your own), as dramatiq's
``StubBroker`` is for actors. Every step is the pipeline's own (``flows/pipeline.py``), every write
the store's: only ComfyUI is scripted, so no test sees a row that a worker could not have written.
Easel itself never imports this package.

By hand, where a test holds a state and looks at it:

>>> worker = InProcessWorker(store)
>>> claim = await worker.start(generation_id)
>>> await worker.progress(claim, 40.0)
>>> await worker.succeed(claim)

By itself, at a pace that the test sets and stops:

>>> async with worker.at_work():
...     await worker.hold(step=3)
...     worker.go_on()
"""

from flows.testing.comfyui import ScriptedComfyUI
from flows.testing.painter import Painter, PlainPainter
from flows.testing.worker import NODE_FAILED, InProcessWorker

__all__ = ["NODE_FAILED", "InProcessWorker", "Painter", "PlainPainter", "ScriptedComfyUI"]
