"""The models of this machine, for cutting a picture again by another one. No model file is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.errors import ModelError
from cutoutd.models import catalog
from cutoutd.page.backend.method import read
from cutoutd.webserver.backend.method import RefusedError, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.page.backend.method import Backend, Endpoint
    from cutoutd.webserver.backend.method import Parameters


def models(backend: Backend, _: Parameters) -> Reply:
    """Return the names of all installed models, and of the default one.

    Raises:
        RefusedError: 503; a catalog cannot be read.
    """
    try:
        there = [model.name for model in catalog.read() if catalog.is_there(model.file)]
    except ModelError as error:
        raise RefusedError(503, "no_models", f"{error.title}. {error.advice}") from error
    chosen = backend.settings.model.name if backend.settings is not None else catalog.PACKAGED
    return Reply(data={"models": there, "chosen": chosen})


ENDPOINTS: Final[Mapping[str, Endpoint]] = {"models": read(models)}
