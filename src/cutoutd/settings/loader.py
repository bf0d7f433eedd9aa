"""Find the configuration and read it, once at the start of a command.

There are three sources: the command line names the file, or two folders in place of one; variables of the environment
go before what stands in the file; what is in neither has its default. They become settings that were checked as a whole,
or one error that lists all that is wrong.

The environment comes in as a mapping; only `platformdirs` looks at it for itself (``XDG_CONFIG_HOME`` and
the like). It must not look at the folders that are named in a configuration: a share may be away.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from cutoutd.errors import ConfigurationError, UsageError
from cutoutd.settings import document, environment, messages, places, rules
from cutoutd.settings.cluster import ClusterSettings
from cutoutd.settings.hosted import HostedSettings
from cutoutd.settings.page import PageSettings
from cutoutd.settings.problem import InvalidSettingsError, Problem
from cutoutd.settings.schema import (
    MAX_NAME,
    CommonHooks,
    Folder,
    ModelSettings,
    PoolSettings,
    Service,
    Settings,
)
from cutoutd.settings.serve import ServeSettings
from cutoutd.settings.webhooks import WebhookSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.settings.environment import Overrides

_T = TypeVar("_T", bound=BaseModel)

_KEY_CHARACTERS: Final = 16


def find(explicit: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration file: the named one, ``$CUTOUTD_CONFIG``, the user's, the system's; None if there is none.

    Args:
        explicit: path given by ``--config``.
        environ: the environment.

    Returns:
        Its absolute path.

    Raises:
        ConfigurationError: the named file does not exist.
    """
    if explicit is not None:
        return _existing_file(explicit, "--config")
    variable = environ.get(environment.CONFIG_VARIABLE)
    if variable:
        return _existing_file(Path(variable), f"${environment.CONFIG_VARIABLE}")
    return next((path for path in places.configuration_files() if os.path.exists(path)), None)  # noqa: PTH110 -- Path.exists raises where a directory may not be entered


def nothing_found() -> UsageError:
    """Return the error for when `find` returns None, with the paths that were tried."""
    looked = " nor ".join(str(path) for path in places.configuration_files())
    return UsageError(
        f"there is no configuration: neither --config nor ${environment.CONFIG_VARIABLE} names a file, and "
        f"neither {looked} is there",
        advice="`cutoutd run` opens a page on which folders are chosen. Or give --input and --output, or --config FILE, "
        "such as a copy of config/cutoutd.toml in the source.",
    )


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read a configuration file.

    Args:
        path: of the file; relative paths in it start from its directory.
        environ: the environment, which overrides the file.

    Raises:
        ConfigurationError: the file cannot be read, or something in it or in the environment is wrong; names
            file or variable, table, key and what would be right, for everything that is wrong.
    """
    path = Path.cwd() / path
    return _parse(document.read(path), path, environ)


def load_bytes(raw: bytes, path: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings that a text would give as a configuration file; the file is not read.

    Args:
        raw: the text, as UTF-8.
        path: of the file, absolute; relative paths in the text start from its directory.
        environ: the environment, which overrides the text.

    Raises:
        ConfigurationError: something in it or in the environment is wrong; as from `load`.
    """
    return _parse(document.parse(raw, path), path, environ)


def _parse(written: dict[str, Any], path: Path, environ: Mapping[str, str]) -> Settings:
    if path == places.SYSTEM_FILE and isinstance(service := written.setdefault("service", {}), dict):
        # The machine's own configuration: its journal belongs to no user's home.
        service["state_dir"] = service.get("state_dir") or os.fspath(places.SYSTEM_STATE)
    return assemble(written, environ, origin=str(path), base=path.parent)


def for_pair(input_dir: Path, output_dir: Path, environ: Mapping[str, str]) -> Settings:
    """Return settings for one pair of folders without a configuration file; all else has its default.

    The state directory is derived from both paths, so that it is found again and differs from any service's.

    Args:
        input_dir: watched directory; relative paths start from the current directory.
        output_dir: directory of the cutouts.
        environ: the environment, which goes before the defaults.

    Raises:
        ConfigurationError: the two overlap, or a variable is wrong.
    """
    watched, results = (places.absolute(os.fspath(Path.cwd() / one), None) for one in (input_dir, output_dir))
    written = {
        "service": {"state_dir": os.fspath(pair_state_dir(watched, results))},
        "folder": [{"name": _folder_name(watched), "input": watched, "output": results}],
    }
    return assemble(written, environ, origin="--input and --output", base=None)


def pair_state_dir(watched: Path, results: Path) -> Path:
    """Return the state directory of one pair of folders without a configuration file.

    Args:
        watched: the input, absolute.
        results: the output, absolute.
    """
    both = os.fsencode(watched) + b"\0" + os.fsencode(results)
    return places.state_dir() / "pairs" / hashlib.sha256(both).hexdigest()[:_KEY_CHARACTERS]


def defaults(environ: Mapping[str, str]) -> Settings:
    """Return settings without a file and without a hot folder, for commands that need none.

    Args:
        environ: the environment, which goes before the defaults.

    Raises:
        ConfigurationError: a variable is wrong.
    """
    return assemble({}, environ, origin="the defaults", base=None, needs_folder=False)


def assemble(
    written: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    origin: str,
    base: Path | None,
    needs_folder: bool = True,
) -> Settings:
    """Build the settings and validate them as a whole.

    Args:
        written: parsed TOML document.
        environ: the environment, which overrides the document.
        origin: name of the document in messages.
        base: directory that relative paths start from.
        needs_folder: a document without a hot folder is an error.

    Raises:
        ConfigurationError: something is wrong; lists everything that is.
    """
    assembly = _Assembly(
        document=written, overrides=environment.read(environ), base=base, needs_folder=needs_folder
    )
    assembly.unknown_tables()
    service = assembly.section("service", Service)
    pool = assembly.section("pool", PoolSettings)
    model = assembly.section("model", ModelSettings)
    hosted = assembly.section("hosted", HostedSettings)
    cluster = assembly.section("cluster", ClusterSettings)
    webhooks = assembly.section("webhooks", WebhookSettings)
    page = assembly.section("page", PageSettings)
    serve = assembly.section("serve", ServeSettings)
    hooks = assembly.section("hooks", CommonHooks)
    folders = assembly.folders()
    state_dir = service.state_dir if service is not None else None
    max_pixels = pool.max_pixels if pool is not None else None
    assembly.problems.extend(rules.problems(folders, state_dir, hosted, max_pixels))
    assembly.problems.extend(rules.cluster_problems(folders, cluster))
    assembly.problems.extend(rules.webhook_problems(folders, webhooks))
    for name, table in (("page", page), ("serve", serve), ("cluster", cluster)):
        for key, text in table.problems() if table is not None else ():
            assembly.problems.append(Problem(table=f"[{name}]", key=key, text=text))
    lines = assembly.lines(origin)
    tables = {
        "service": service,
        "pool": pool,
        "model": model,
        "hosted": hosted,
        "cluster": cluster,
        "webhooks": webhooks,
        "page": page,
        "serve": serve,
        "hooks": hooks,
    }
    if lines or None in tables.values():
        raise _error(lines, tuple(assembly.problems))
    return Settings.model_validate({**tables, "folder": tuple(folders.values())})


@dataclass(kw_only=True, slots=True)
class _Assembly:
    """The state of `assemble`."""

    document: Mapping[str, Any]
    overrides: Overrides
    base: Path | None
    needs_folder: bool
    problems: list[Problem] = field(default_factory=list)

    def unknown_tables(self) -> None:
        for name, value in self.document.items():
            if name not in Settings.model_fields:
                table, key = (f"[{name}]", "") if isinstance(value, dict | list) else ("", name)
                self.problems.append(Problem(table=table, key=key, text=messages.unknown_table(name)))

    def section(self, name: str, model: type[_T]) -> _T | None:
        """Validate a table that occurs once."""
        written = self.document.get(name, {})
        if not isinstance(written, dict):
            text = f"is a table; write [{name}], with one pair of brackets, on a line of its own"
            self.problems.append(Problem(table="", key=name, text=text))
            written = {}
        from_outside = {key: value for (table, key), value in self.overrides.values.items() if table == name}
        from_file = frozenset(written) - frozenset(from_outside)
        return self._parsed(model, {**written, **from_outside}, f"[{name}]", from_file)

    def folders(self) -> dict[int, Folder]:
        """Return the valid hot folders by their number."""
        written = self.document.get("folder", [])
        if not isinstance(written, list) or not all(isinstance(one, dict) for one in written):
            text = "is a list of tables; write [[folder]], with two pairs of brackets, on a line of its own"
            self.problems.append(Problem(table="", key="folder", text=text))
            return {}
        # An unknown table is most likely this one, misspelt.
        if not written and self.needs_folder and not self.problems:
            text = "there is no [[folder]], so nothing would be watched; add one with name, input and output"
            self.problems.append(Problem(table="", key="", text=text))
        parsed = {
            number: self._parsed(Folder, one, messages.of_folder(one.get("name"), number))
            for number, one in enumerate(written, 1)
        }
        return {number: folder for number, folder in parsed.items() if folder is not None}

    def lines(self, origin: str) -> list[str]:
        """Return the messages about all problems, variables first."""
        wrong = [f"${name}: {text}" for name, text in self.overrides.problems.items()]
        return wrong + [self._line(problem, origin) for problem in self.problems]

    def _line(self, problem: Problem, origin: str) -> str:
        table = problem.table.strip("[]")
        if (table, problem.key) in self.overrides.values:
            return f"${environment.variable_of(table, problem.key)}: {problem.text}"
        where = " ".join(part for part in (problem.table, problem.key) if part)
        return ": ".join(part for part in (origin, where, problem.text) if part)

    def _parsed(
        self, model: type[_T], written: dict[str, Any], title: str, from_file: frozenset[str] | None = None
    ) -> _T | None:
        try:
            return model.model_validate(written, context=self.base)
        except ValidationError as error:
            self.problems.extend(messages.problems_of(error, title, model, from_file=from_file))
            return None


def _error(lines: list[str], problems: tuple[Problem, ...]) -> InvalidSettingsError:
    if len(lines) == 1:
        return InvalidSettingsError(lines[0], problems)
    return InvalidSettingsError(
        "\n  ".join((f"{len(lines)} things are wrong:", *lines)),
        problems,
        advice="Correct them and run `cutoutd check`.",
    )


def _existing_file(path: Path, by: str) -> Path:
    path = Path.cwd() / os.path.expanduser(path)  # noqa: PTH111 -- what stands for no home is told as it is
    if not os.path.exists(path):  # noqa: PTH110 -- as in `find`
        raise ConfigurationError(
            f"there is no such file, which {by} names", path=path, advice="Give the path of the file."
        )
    return path


def _folder_name(watched: Path) -> str:
    """Derive a folder's name from a directory's: printable, and not too long."""
    printable = "".join(one if one.isprintable() else "_" for one in watched.name)
    return printable[:MAX_NAME].strip() or "folder"
