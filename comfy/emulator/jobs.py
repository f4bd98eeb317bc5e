"""ComfyUI's own list of prompts, which it calls jobs: GET /api/jobs, and their cancellation."""

import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web

from .pacing import Pacing
from .prompt_queue import Item, PromptQueue
from .release import Release

Job = dict[str, Any]
STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
ENDS = ("execution_success", "execution_error", "execution_interrupted")


class _WrongQueryError(Exception):
    """The query of GET /api/jobs; its text is the answer."""


class Jobs:
    """The handlers. Their paths begin with /api; they exist under no other."""

    def __init__(self, queue: PromptQueue, pacing: Pacing, release: Release) -> None:
        self._queue = queue
        self._pacing = pacing
        self._release = release

    def table(self) -> list[web.RouteDef]:
        """Those that this release has."""
        routes: list[web.RouteDef] = []
        if self._release.lists_jobs:
            routes += [
                web.get("/api/jobs", self.get_jobs),
                web.get("/api/jobs/{job_id}", self.get_job),
            ]
        if self._release.cancels_jobs:
            routes += [
                web.post("/api/jobs/{job_id}/cancel", self.post_cancel),
                web.post("/api/jobs/cancel", self.post_cancel_many),
            ]
        return routes

    async def get_jobs(self, request: web.Request) -> web.Response:
        """GET /api/jobs?status=&workflow_id=&sort_by=&sort_order=&limit=&offset="""
        query = request.rel_url.query
        try:
            statuses = _statuses(query.get("status", ""))
            key, backwards = _order(query.get("sort_by"), query.get("sort_order"))
            limit, offset = _limit(query.get("limit")), _offset(query.get("offset"))
        except _WrongQueryError as error:
            return _wrong(str(error))
        jobs = [job for job in self._all() if job["status"] in statuses]
        if workflow_id := query.get("workflow_id"):
            jobs = [job for job in jobs if job.get("workflow_id") == workflow_id]
        jobs.sort(key=key, reverse=backwards)
        page = jobs[offset:] if limit is None else jobs[offset : offset + limit]
        pagination = {
            "offset": offset,
            "limit": limit,
            "total": len(jobs),
            "has_more": offset + len(page) < len(jobs),
        }
        return web.json_response({"jobs": page, "pagination": pagination})

    async def get_job(self, request: web.Request) -> web.Response:
        """GET /api/jobs/{id}: with graph and outputs if it has ended; 404 if it was dequeued."""
        job_id = request.match_info["job_id"]
        entry = self._queue.history_of(job_id).get(job_id)
        if entry is not None:
            return web.json_response(self._shown(_ended(job_id, entry) | _details(entry)))
        for status, item in self._queued():
            if item[1] == job_id:
                return web.json_response(self._shown(_waiting(item, status)))
        return web.json_response({"error": "Job not found"}, status=404)

    async def post_cancel(self, request: web.Request) -> web.Response:
        """POST /api/jobs/{id}/cancel: whether it was running or pending; never an error."""
        return web.json_response({"cancelled": self._cancel(request.match_info["job_id"])})

    async def post_cancel_many(self, request: web.Request) -> web.Response:
        """POST /api/jobs/cancel {"job_ids": [...]}: whether any of them was."""
        try:
            said = await request.json()
        except ValueError:
            return _wrong("Request body must be valid JSON")
        ids = said.get("job_ids") if isinstance(said, dict) else None
        if not isinstance(ids, list):
            return _wrong("job_ids must be a list")
        invalid = [one if isinstance(one, str) else repr(one) for one in ids if not canonical(one)]
        if invalid:
            body = {"error": "job_ids contains invalid id(s)", "invalid_ids": invalid}
            return web.json_response(body, status=400)
        cancelled = [self._cancel(one) for one in ids]
        return web.json_response({"cancelled": any(cancelled)})

    def _cancel(self, prompt_id: str) -> bool:
        return self._queue.cancel(prompt_id, self._pacing.interrupt)

    def _queued(self) -> list[tuple[str, Item]]:
        running, pending = self._queue.snapshot()
        in_progress = [("in_progress", item) for item in running]
        return in_progress + [("pending", item) for item in pending]

    def _all(self) -> list[Job]:
        queued = [_waiting(item, status) for status, item in self._queued()]
        ended = [_ended(one, entry) for one, entry in self._queue.history().items()]
        return [self._shown(job) for job in queued + ended]

    def _shown(self, job: Job) -> Job:
        if not self._release.counts_previews:
            del job["previewable_outputs_count"]
        return job


def canonical(prompt_id: Any) -> bool:
    """Whether it is a UUID as ComfyUI wants it: text, lowercase, with hyphens."""
    try:
        return isinstance(prompt_id, str) and str(uuid.UUID(prompt_id)) == prompt_id
    except ValueError:
        return False


def _waiting(item: Item, status: str) -> Job:
    return _job(item, status, {}, outputs=0)


def _ended(prompt_id: str, entry: dict[str, Any]) -> Job:
    messages = dict(entry["status"]["messages"])
    ends = [messages[name] for name in ENDS if name in messages]
    images = [
        {**image, "nodeId": node_id, "mediaType": "images"}
        for node_id, shown in entry["outputs"].items()
        for image in shown.get("images", ())
    ]
    kept = [image for image in images if image["type"] == "output"] or images
    times = {
        "execution_start_time": messages.get("execution_start", {}).get("timestamp"),
        "execution_end_time": ends[-1]["timestamp"] if ends else None,
        "execution_error": messages.get("execution_error"),
        "preview_output": kept[0] if kept else None,
    }
    job = _job(entry["prompt"], _end_of(entry, messages), times, outputs=len(images))
    return {**job, "id": prompt_id}


def _end_of(entry: dict[str, Any], messages: dict[str, Any]) -> str:
    if entry["status"]["status_str"] == "success":
        return "completed"
    return "cancelled" if "execution_interrupted" in messages else "failed"


def _job(item: Item, status: str, more: Job, *, outputs: int) -> Job:
    """What is None is left out. A workflow of null makes every list a 500 (recorded)."""
    number, prompt_id, _, extra_data, _ = item
    job = {
        "id": prompt_id,
        "status": status,
        "priority": number,
        "create_time": extra_data.get("create_time"),
        **more,
        "outputs_count": outputs,
        "previewable_outputs_count": outputs,  # every output here is a picture
        "workflow_id": extra_data.get("extra_pnginfo", {}).get("workflow", {}).get("id"),
    }
    return {name: value for name, value in job.items() if value is not None}


def _details(entry: dict[str, Any]) -> Job:
    _, _, graph, extra_data, _ = entry["prompt"]
    return {
        "outputs": entry["outputs"],
        "execution_status": entry["status"],
        "workflow": {"prompt": graph, "extra_data": extra_data},
    }


def _statuses(wanted: str) -> tuple[str, ...]:
    if not wanted:
        return STATUSES
    found = [part.strip().lower() for part in wanted.split(",") if part.strip()]
    invalid = [status for status in found if status not in STATUSES]
    if invalid:
        names = ", ".join(STATUSES)
        raise _WrongQueryError(
            f"Invalid status value(s): {', '.join(invalid)}. Valid values: {names}"
        )
    return tuple(found)


def _order(sort_by: str | None, sort_order: str | None) -> tuple[Callable[[Job], int], bool]:
    by, order = (sort_by or "created_at").lower(), (sort_order or "desc").lower()
    if by not in ("created_at", "execution_duration"):
        raise _WrongQueryError("sort_by must be 'created_at' or 'execution_duration'")
    if order not in ("asc", "desc"):
        raise _WrongQueryError("sort_order must be 'asc' or 'desc'")
    return (_created if by == "created_at" else _duration), order == "desc"


def _created(job: Job) -> int:
    return int(job.get("create_time", 0))


def _duration(job: Job) -> int:
    start, end = job.get("execution_start_time", 0), job.get("execution_end_time", 0)
    return int(end - start) if start and end else 0


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    limit = _integer("limit", text)
    if limit <= 0:
        raise _WrongQueryError("limit must be a positive integer")
    return limit


def _offset(text: str | None) -> int:
    return 0 if text is None else max(0, _integer("offset", text))


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _WrongQueryError(f"{name} must be an integer") from None


def _wrong(message: str) -> web.Response:
    return web.json_response({"error": message}, status=400)
