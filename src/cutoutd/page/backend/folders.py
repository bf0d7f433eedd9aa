"""Methods that add a folder: the choice of output forms, and writing the folder into the configuration.

Where there is no configuration yet, the first folder makes one. Only a name, two places within ``[page] roots``, a form and
what becomes of pictures that are there already can be said; everything else has its default.
"""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any, Final

from cutoutd.page.backend import configuration
from cutoutd.page.backend.editing import Draft
from cutoutd.page.backend.folder_settings import at_its_field, file_of
from cutoutd.page.backend.method import change, read
from cutoutd.page.backend.places import inspect, place_of
from cutoutd.page.backend.reloading import apply_configuration, lock_of
from cutoutd.settings import forms
from cutoutd.settings.schema import MAX_NAME
from cutoutd.settings.types import Existing
from cutoutd.webserver.backend import parameters
from cutoutd.webserver.backend.method import RefusedError, Reply

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from cutoutd.page.backend.configuration import ReadConfiguration
    from cutoutd.page.backend.method import Backend, Endpoint
    from cutoutd.page.backend.places import Place
    from cutoutd.settings.forms import OutputForm
    from cutoutd.webserver.backend.method import Parameters

_MAX_IDENTITY: Final = 64

MOST_FOLDERS: Final = 200
"""Each has four threads of the daemon; a page that is taken over must not add them without end."""


def _forms(_: Backend, __: Parameters) -> Reply:
    offered = [
        {"name": one.name, "title": one.title, "explanation": one.explanation} for one in forms.every()
    ]
    return Reply(data=offered)


def _chosen_place(backend: Backend, params: Parameters, key: str) -> Place:
    """Return the place that a parameter names; an empty text, which stands for the first root elsewhere, names none."""
    text = parameters.text(params, key)
    if not text:
        said = "Choose a folder for the pictures, and one for the cutouts."
        raise RefusedError(422, "no_place_chosen", said, key=key)
    return place_of(backend, text)


def _add_folder(backend: Backend, params: Parameters) -> Reply:
    path = file_of(backend)
    watched, results = (_chosen_place(backend, params, key) for key in ("input", "output"))
    form = _form(parameters.text(params, "form"))
    existing = _existing(parameters.text(params, "existing", Existing.CUT.value))
    creates = parameters.truth(params, "create", default=False)
    seen_place = parameters.text(params, "seen", "", longest=_MAX_IDENTITY)
    wanted = parameters.text(params, "name", "", longest=MAX_NAME)
    with lock_of(backend):
        seen = _read_current(path, has_been_there=backend.settings is not None)
        known = () if seen is None else tuple(one.name for one in seen.settings.folder)
        if len(known) >= MOST_FOLDERS:
            raise RefusedError(422, "too_many_folders", "There are too many folders. Add it with an editor.")
        if seen is not None and (added := _name_of_added(seen, wanted, (watched, results), form, existing)):
            return Reply(data={"name": added, "digest": seen.digest, **apply_configuration(backend, seen)})
        name = wanted or _free_name(watched.path, known)
        draft = _draft(seen, name, (watched, results), form, existing)
        try:
            configuration.check(path, seen, draft.text, draft.means, os.environ)
        except RefusedError as refused:
            raise at_its_field(refused, ("input", "output", "name")) from refused
        _prepare_directories(watched, results, creates=creates, seen=seen_place)
        try:
            if seen is None:
                new = configuration.create(path, draft.text, draft.means, os.environ)
            else:
                new = configuration.replace(path, seen, draft.text, draft.means, os.environ)
        except RefusedError as refused:
            raise _not_added(refused, watched, results) from refused
    return Reply(data={"name": name, "digest": new.digest, **apply_configuration(backend, new)})


def _not_added(refused: RefusedError, watched: Place, results: Place) -> RefusedError:
    """Return the refusal to write the configuration, with what is there all the same: directories are made before."""
    if refused.code != "config_unwritten":
        return refused
    named = {**refused.named, "input": str(watched.path), "output": str(results.path)}
    text = "The folder was not added: {path} cannot be written ({why}). {input} and {output} are there, and may be new and empty."
    return RefusedError(refused.status, "folder_not_added", text.format(**named), **named)


def _read_current(path: Path, *, has_been_there: bool) -> ReadConfiguration | None:
    """Return the current configuration; None where there never was one.

    One that was read and is not there now has been moved away, or its disk has: a new one of one folder must not take its place.
    """
    if not has_been_there and not os.path.lexists(path):
        return None
    return configuration.read(path, os.environ)


def _name_of_added(
    seen: ReadConfiguration, wanted: str, between: tuple[Place, Place], form: OutputForm, existing: Existing
) -> str:
    """Return the name of a folder that is in the configuration just as it is asked for, as when its answer was lost; empty: none is."""
    tables = tomllib.loads(seen.raw.decode("utf-8-sig")).get("folder", [])
    for folder in tables:
        name = str(folder.get("name"))
        if folder == _values(name, between, existing) | {"rendition": [dict(one) for one in form.renditions]}:
            return name if wanted in ("", name) else ""
    return ""


def _draft(
    seen: ReadConfiguration | None,
    name: str,
    between: tuple[Place, Place],
    form: OutputForm,
    existing: Existing,
) -> Draft:
    draft = Draft(b"" if seen is None else seen.raw)
    draft.add_folder(_values(name, between, existing), form.renditions)
    return draft


def _values(name: str, between: tuple[Place, Place], existing: Existing) -> dict[str, Any]:
    values = {"name": name, "input": str(between[0].path), "output": str(between[1].path)}
    return values if existing is Existing.CUT else {**values, "existing": existing.value}


def _prepare_directories(watched: Place, results: Place, *, creates: bool, seen: str) -> None:
    """Check that the input can be read and the output written; create them if requested.

    Args:
        watched: the input.
        results: the output; it is created wherever the input may be, or was seen.
        creates: whether the input is created.
        seen: identity of the input, or of the directory that it is created in, as the person saw it; empty: whichever there is.

    Raises:
        RefusedError: a directory cannot be used.
    """
    found = inspect(watched, make=creates, seen=seen)
    if not found["readable"]:
        text = f"{watched.path} cannot be read. Choose another folder, or let this user read it."
        raise RefusedError(422, "place_unreadable", text, path=str(watched.path), key="input")
    found = inspect(results, make=creates or bool(seen))
    if not found["writable"]:
        text = f"{results.path} cannot be written to. Choose another folder for the cutouts."
        raise RefusedError(422, "place_unwritable", text, path=str(results.path), key="output")


def _free_name(watched: Path, known: Collection[str]) -> str:
    """Return an unused name, derived from the directory's."""
    plain = "".join(one if one.isprintable() else "_" for one in watched.name).strip() or "folder"
    for number in range(1, MOST_FOLDERS + 2):
        end = "" if number == 1 else f"-{number}"
        name = f"{plain[: MAX_NAME - len(end)].strip()}{end}"
        if name not in known:
            return name
    raise RefusedError(
        422, "too_many_folders", "Too many folders have this name. Choose another one.", key="name"
    )


def _form(name: str) -> OutputForm:
    form = forms.find(name)
    if form is None:
        raise RefusedError(422, "no_form", f"There is no form {name}.", key="form", form=name)
    return form


def _existing(text: str) -> Existing:
    try:
        return Existing(text)
    except ValueError:
        words = f"Pictures that are there already can be cut or skipped; {text} is neither."
        raise RefusedError(422, "no_existing", words, key="existing") from None


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "forms": read(_forms),
    "add_folder": change(
        _add_folder, "input", "output", "form", "existing", "create", "seen", "name", is_slow=True
    ),
}
