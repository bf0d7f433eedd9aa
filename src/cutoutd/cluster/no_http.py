"""Dask's servers without their web server, which would speak unencrypted HTTP whatever the dashboard's settings are."""

from __future__ import annotations

from distributed import Scheduler, Worker


class _NoHttp:
    def start_http_server(self, *_: object, **__: object) -> None:
        """Start no HTTP server. Dask calls this method, which `ServerNode` documents, to create it."""


class QuietWorker(_NoHttp, Worker):
    """A worker that listens with TLS only."""


class QuietScheduler(_NoHttp, Scheduler):
    """A scheduler that listens with TLS only."""
