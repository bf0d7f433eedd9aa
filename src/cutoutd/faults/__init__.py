"""The consequences of faults: back-off, circuit breaker, isolation of parts and threads, retry of failed jobs."""
