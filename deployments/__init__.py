"""How the flows are deployed, beside `prefect.yaml`."""
