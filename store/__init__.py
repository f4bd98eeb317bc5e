"""Persistence: tables, generations, images, the outbox, migrations.

Knows no comfy, no flows, no api. One rule applies throughout: a generation's row is written
in ``store/generations/`` only, by a compare-and-set on status, attempt and fence.
"""
