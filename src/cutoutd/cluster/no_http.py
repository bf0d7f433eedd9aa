"""Dask's servers without the web server that each of them starts: plain HTTP, whatever its dashboard is set to."""

from __future__ import annotations

from distributed import Scheduler, Worker


class _NoHttp:
    def start_http_server(self, *_: object, **__: object) -> None:
        """Start none. Called by Dask; `ServerNode` documents it as what creates the node's HTTP server."""


class QuietWorker(_NoHttp, Worker):
    """A worker that is reached by TLS alone."""


class QuietScheduler(_NoHttp, Scheduler):
    """A scheduler that is reached by TLS alone."""
