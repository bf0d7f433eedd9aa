"""The form of cutouts as options give it: the same keys as in ``[[folder.rendition]]``, checked in the same way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cutoutd.cli.to_cut import EXTENSIONS
from cutoutd.daemon.assembly import check_backgrounds
from cutoutd.errors import ConfigurationError, UsageError
from cutoutd.recipe import Format
from cutoutd.settings import rules
from cutoutd.settings.messages import problems_of
from cutoutd.settings.renditions import RenditionSettings
from cutoutd.settings.schema import Folder

if TYPE_CHECKING:
    from cutoutd.cli.to_cut import Target
    from cutoutd.settings.schema import Settings

_WHITE = "white"


def form_of(given: dict[str, Any], target: Target, chosen: Settings) -> RenditionSettings:
    """What the options come to.

    Args:
        given: by their keys; those that were not given are None.
        target: whose name may ask for a format.
        chosen: has the limits.

    Raises:
        UsageError: an option is wrong, does not go with another one, or with the name of the file.
    """
    keys = {key: value for key, value in given.items() if value is not None}
    asked = keys.get("format")
    if asked is not None:
        asked = keys["format"] = EXTENSIONS.get(asked.lower(), asked)
    if target.format is not None:
        if asked not in (None, target.format):
            raise UsageError(
                f"--format {asked} does not go with the name {target.name}", advice="Give one of them."
            )
        keys["format"] = target.format
    if "preset" not in keys and keys.get("format") == Format.JPEG:
        keys.setdefault("background", _WHITE)  # it has no transparency
    try:
        form = RenditionSettings.model_validate(keys, context=Path.cwd())
    except ValidationError as error:
        wrong = [f"--{one.key}: {one.text}" for one in problems_of(error, "", RenditionSettings)]
        raise _refused(wrong) from error
    anywhere = Path("/")
    folder = Folder(name="cut", input=anywhere, output=anywhere, rendition=(form,))
    if wrong := [
        f"--{one.key}: {one.text}" for one in rules.rendition_problems(folder, chosen.pool.max_pixels)
    ]:
        raise _refused(wrong)
    try:
        check_backgrounds(folder)
    except ConfigurationError as error:
        _, _, what = error.cause.rpartition("background: ")
        raise UsageError(f"--background: {what}", advice=error.advice) from error
    return form


def background_of(background: str | None, *, white: bool) -> str | None:
    """What is behind the subject.

    Raises:
        UsageError: it is said twice.
    """
    if white and background not in (None, _WHITE):
        raise UsageError("--white and --background are two ways to say the same", advice="Give one of them.")
    return _WHITE if white else background


def _refused(wrong: list[str]) -> UsageError:
    return UsageError("; and ".join(wrong), advice="See `cutoutd cut --help`.")
