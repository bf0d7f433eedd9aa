"""Publishing results: staging, plan, renames, sidecar, recovery. Knows neither journal nor settings."""
