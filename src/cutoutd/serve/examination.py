"""The check of the API for `cutoutd doctor`: its listening address, keys and sandbox.

The check listens for a moment and closes again. Call it while this process has a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.doctor.finding import Finding, note, ok, problem
from cutoutd.errors import CutoutdError
from cutoutd.serve.keys import DIRECTORY, KeyFile
from cutoutd.webserver.backend import examination, listener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.settings.schema import Settings

CHECK: Final = "serve"


def judge(settings: Settings) -> Iterator[Finding]:
    """Check the API.

    Args:
        settings: settings of the configuration, or the defaults.
    """
    serve, state_dir = settings.serve, settings.service.state_dir
    address = examination.served_at(state_dir / DIRECTORY)
    if not serve.enabled and address is None:
        yield ok(CHECK, "it is switched off ([serve] enabled = false): no process, no port")
        return
    yield from examination.place(serve, CHECK, address, "", "Give programs that address; or")
    yield from examination.files(serve, CHECK, listener.check_certificate)
    yield from _keys(settings)
    yield from examination.layers(CHECK, "the API", "programs", settings.pool.sandbox)


def _keys(settings: Settings) -> Iterator[Finding]:
    try:
        keys = KeyFile(settings.service.state_dir).all()
    except CutoutdError as error:
        yield problem(CHECK, str(error), error.advice)
        return
    known = {folder.name for folder in settings.folder}
    lost = [key.name for key in keys if key.folder not in known]
    if not keys:
        yield note(CHECK, "there is no key, so it answers nobody", "`cutoutd serve keys add NAME` makes one.")
    elif lost:
        seen = f"the folders of these keys are not in the configuration any more: {', '.join(lost)}"
        yield note(CHECK, seen, "`cutoutd serve keys revoke NAME` removes a key.")
    else:
        yield ok(CHECK, f"keys: {', '.join(f'{key.name} ({key.folder})' for key in keys[:10])}")
