"""Runs Stencil on Prefect: the flows, their tasks, and a block for credentials. The only part that imports Prefect."""
