"""Giving results their names: staging, plan, renames, sidecar, recovery. Knows neither journal nor settings."""
