"""Methods for a folder's settings: the keys that the page may set, with explanations, and changing them.

What may be set is decided in `cutoutd.page.backend.admission`, and by the loader; here it is put into words and back.
"""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any, Final

from cutoutd.page.backend import configuration, fields
from cutoutd.page.backend.admission import is_admitted, why_refused
from cutoutd.page.backend.editing import Draft
from cutoutd.page.backend.method import change, read
from cutoutd.page.backend.plain_words import in_plain_words
from cutoutd.page.backend.reloading import apply_configuration, lock_of
from cutoutd.webserver.backend import parameters
from cutoutd.webserver.backend.method import RefusedError, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pydantic import BaseModel

    from cutoutd.page.backend.configuration import ReadConfiguration
    from cutoutd.page.backend.method import Backend, Endpoint
    from cutoutd.webserver.backend.method import Parameters


MAX_CHANGES: Final = 200
_RENDITION: Final = "rendition"


def _folder_settings(backend: Backend, params: Parameters) -> Reply:
    path = file_of(backend)
    name = parameters.text(params, "folder")
    seen = configuration.read(path, os.environ)
    number = _number_of(seen, name)
    locked = configuration.why_locked(path)
    return Reply(
        data={
            "digest": seen.digest,
            "fields": [fields.as_json(one) for one in _fields(seen, number)],
            "locked": None
            if locked is None
            else {"code": locked.code, "text": locked.text, "named": locked.named},
        }
    )


def _change_settings(backend: Backend, params: Parameters) -> Reply:
    path = file_of(backend)
    name, digest = parameters.text(params, "folder"), parameters.text(params, "digest")
    changes = params.get("changes")
    if not isinstance(changes, dict) or len(changes) > MAX_CHANGES:
        raise RefusedError(400, "parameter", "The parameter changes must be an object.", name="changes")
    with lock_of(backend):
        seen = configuration.read(path, os.environ)
        number = _number_of(seen, name)
        known = {field.key: field for field in _fields(seen, number)}
        if seen.digest != digest:
            if not _are_made(changes, known):
                raise configuration.changed()
            # The change was made, and its answer was lost; or somebody else made it, and nothing is left to do.
            return Reply(data={"digest": seen.digest, **apply_configuration(backend, seen)})
        draft = Draft(seen.raw)
        for key, value in changes.items():
            field = known.get(key)
            if field is None:
                raise _not_settable(key)
            if value != field.value:
                draft.set(number, field.path, fields.from_json(field, value))
        try:
            new = configuration.replace(path, seen, draft.text, draft.means, os.environ)
        except RefusedError as refused:
            raise at_its_field(refused, [*changes, *known]) from refused
    return Reply(data={"digest": new.digest, **apply_configuration(backend, new)})


def _are_made(changes: Mapping[str, Any], known: Mapping[str, fields.SettingField]) -> bool:
    """Whether all that is asked for stands in the file already."""
    return bool(changes) and all(key in known and known[key].value == value for key, value in changes.items())


def file_of(backend: Backend) -> Path:
    """Return the configuration file.

    Raises:
        RefusedError: the folders come from the command line.
    """
    if backend.config is None:
        raise RefusedError(
            409,
            "no_config",
            "cutoutd was started for two folders alone, by `make run` or with --input and --output, so it has no "
            "configuration that could be changed here. End it, start `cutoutd run` without folders, and choose them "
            "on the page: that makes one.",
        )
    return backend.config


def _number_of(seen: ReadConfiguration, name: str) -> int:
    for number, folder in enumerate(seen.settings.folder):
        if folder.name == name:
            return number
    raise RefusedError(404, "no_folder", f"There is no folder {name} in the configuration.", folder=name)


def _fields(seen: ReadConfiguration, number: int) -> Iterator[fields.SettingField]:
    """Return the fields of a folder that the page may set, in the order of the schema."""
    folder = seen.settings.folder[number]
    yield from _of_table(folder, "folder", "", ())
    yield from _of_table(folder.matte, "folder.matte", "matte.", ("matte",))
    written = tomllib.loads(seen.raw.decode("utf-8-sig"))["folder"][number]
    tables = written.get(_RENDITION) or [{}]
    first = 0  # of the results that a table stands for: one for each preset that it names
    for index, table in enumerate(tables):
        presets = table.get("preset", "")
        prefix = "rendition." if len(tables) == 1 else f"rendition.{index + 1}."
        path = (_RENDITION, index)
        for field in _of_table(folder.rendition[first], "folder.rendition", prefix, path):
            if not (field.path[-1] == "preset" and isinstance(presets, list)):
                yield field
        first += max(1, len(presets)) if isinstance(presets, list) else 1


def _of_table(
    table: BaseModel, name: str, prefix: str, path: tuple[str | int, ...]
) -> Iterator[fields.SettingField]:
    for key, value in table:
        if is_admitted(f"{name}.{key}"):
            field = fields.describe(type(table), name, key, value, prefix=prefix, path=path)
            if field is not None:
                yield field


def _not_settable(key: str) -> RefusedError:
    parts = [one for one in key.split(".") if not one.isdigit()]
    decides = why_refused(".".join(("folder", *parts)))
    if not decides:
        return RefusedError(422, "no_key", f"There is no setting {key}.", key=key)
    text = f"The page cannot set {key}, which decides {decides}. Set it in the configuration with an editor."
    return RefusedError(403, "not_settable", text, key=key, decides=decides)


def at_its_field(refused: RefusedError, keys: Sequence[str]) -> RefusedError:
    """Put the loader's message into plain words, with the key that it is about, so that the page can show it there.

    Args:
        refused: what the loader says.
        keys: keys that it may be about, the likeliest first.
    """
    if not isinstance(refused, configuration.SettingsRefusedError):
        return refused
    by_key = {problem.key: problem for problem in reversed(refused.problems)}  # of several, the first counts
    key = next((key for key in keys if _last(key) in by_key), keys[0])
    problem = by_key.get(_last(key))
    text = in_plain_words(refused.text) if problem is None else in_plain_words(problem.text, problem.code)
    return RefusedError(refused.status, refused.code, text, key=key, why=text)


def _last(key: str) -> str:
    return key.rpartition(".")[2]


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "folder_settings": read(_folder_settings, "folder"),
    "change_settings": change(_change_settings, "folder", "digest", "changes", is_slow=True),
}
