"""What users write and read: one pydantic model per kind, conditions, one table of reasons, money.

The files in `crds/` and `docs/reference/` are generated from here.
"""
