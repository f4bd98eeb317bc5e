"""What Easel uses of Prefect 3.9.1 though Prefect does not promise it, under names of Easel's own.

Prefect is pinned exactly, and ``tests/flows/private/`` fails when something here behaves
otherwise in another version. One module for each part of Prefect, and none is imported here: each
process pays only for what it uses (measured: the worker's and the engine's cost 0.15 to 0.18 s of
start, which the API and Prefect's server do without).

- ``server``: changes to Prefect's server, for Easel's own server process only
- ``docket``: its queue of background tasks, there too
- ``subscribers``: its subscribers of events, there too
- ``endpoint``: Easel's own endpoint in it
- ``schedules``: the times at which Prefect's scheduler fires
- ``engine``: Prefect's engine for one flow run
- ``worker``: Prefect's base class of workers
"""
