"""Confines the process of `cutoutd worker` before Dask is loaded, and gives it a directory for temporary files.

It must not import modules that start a thread.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.cluster.dask_settings import ignore_files
from cutoutd.errors import StorageError
from cutoutd.fs.private_directory import OpenedNames, open_private
from cutoutd.models import catalog
from cutoutd.sandbox.confinement import confine_dask_worker
from cutoutd.settings import places
from cutoutd.settings.cluster import port_of
from cutoutd.settings.types import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.settings.schema import Settings


def confine(settings: Settings, *, scheduler: str, files: Sequence[Path], port: int) -> tuple[str, ...]:
    """Confine this process for good.

    Args:
        settings: settings of this machine, which name its models.
        scheduler: address of the scheduler.
        files: authority, certificate and key.
        port: port on which it listens.

    Returns:
        The active layers of the sandbox.

    Raises:
        SandboxError: a required layer does not exist here.
        NotPrivateError: others can change the temporary files.
        StorageError: the disk refuses.
        CutoutdError: a layer that exists here was refused.
    """
    ignore_files()
    # Always the same directory, since the process may write only inside it and could not remove it.
    own = Path(tempfile.gettempdir()) / f"cutoutd-worker-{os.geteuid()}-{port}"
    try:
        descriptor, _ = open_private(own, OpenedNames())
        os.close(descriptor)
    except OSError as error:
        raise StorageError(f"the system says: {error.strerror}", path=own) from error
    tempfile.tempdir = os.fspath(own)
    models = [catalog.find(name).file.parent for name in settings.needed_models]
    return confine_dask_worker(
        read=(*files, *models, *places.model_dirs(), catalog.home()),
        write=own,
        connect=port_of(scheduler),
        bind=port,
        required=settings.pool.sandbox is Sandbox.REQUIRED,
    )
