"""Prefect tasks: thin shells round the engine, each policy (retries, names, caching) and one call."""
