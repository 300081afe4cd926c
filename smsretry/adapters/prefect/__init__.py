"""Prefect's API over plain HTTP. The package imports no Prefect."""
