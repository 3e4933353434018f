"""Stencil: Label Studio projects in bulk from templates, exactly one project per row of a sheet.

The engine is plain Python and knows nothing of Prefect; `tasks` and `flows` put Prefect round it.
"""

__version__ = "0.1.0"
