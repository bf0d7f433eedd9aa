"""Finding the configuration and reading it: once, at the start of a command.

The environment comes in as a mapping; only `platformdirs` looks at it for itself (``XDG_CONFIG_HOME`` and
the like). It must not look at the folders that are named in a configuration: a share may be away.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import ConfigurationError, UsageError
from cutoutd.settings import document, environment, places
from cutoutd.settings.assembly import assemble
from cutoutd.settings.schema import MAX_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.settings.schema import Settings

_KEY_CHARACTERS: Final = 16


def find(explicit: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: as named, by ``$CUTOUTD_CONFIG``, the user's, the system's; None if there is none.

    Args:
        explicit: as named by ``--config``.
        environ: the environment.

    Returns:
        Its absolute path.

    Raises:
        ConfigurationError: the file that was named is not there.
    """
    if explicit is not None:
        return _named(explicit, "--config")
    variable = environ.get(environment.CONFIG_VARIABLE)
    if variable:
        return _named(Path(variable), f"${environment.CONFIG_VARIABLE}")
    return next((path for path in places.configuration_files() if os.path.exists(path)), None)  # noqa: PTH110 -- Path.exists raises where a directory may not be entered


def nothing_found() -> UsageError:
    """The error for when `find` gives None: says where it looked."""
    looked = " nor ".join(str(path) for path in places.configuration_files())
    return UsageError(
        f"there is no configuration: neither --config nor ${environment.CONFIG_VARIABLE} names a file, and "
        f"neither {looked} is there",
        advice="Give --input and --output, or --config FILE, such as a copy of config/cutoutd.toml in the source. "
        "To try it: `cutoutd run --input DIR --output DIR`.",
    )


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read a configuration file.

    Args:
        path: of the file; relative paths in it start from its directory.
        environ: the environment, which goes before the file.

    Raises:
        ConfigurationError: the file cannot be read, or something in it or in the environment is wrong; names
            file or variable, table, key and what would be right, for everything that is wrong.
    """
    path = Path.cwd() / path
    written = document.read(path)
    if path == places.SYSTEM_FILE and isinstance(service := written.setdefault("service", {}), dict):
        # The machine's own configuration: its journal belongs to no user's home.
        service["state_dir"] = service.get("state_dir") or os.fspath(places.SYSTEM_STATE)
    return assemble(written, environment.read(environ), origin=str(path), base=path.parent)


def for_pair(input_dir: Path, output_dir: Path, environ: Mapping[str, str]) -> Settings:
    """Settings for one pair of folders without a configuration file; all else is as by default.

    The state directory goes by both paths, so that it is found again and is apart from any service's.

    Args:
        input_dir: is watched; relative paths start from the current directory.
        output_dir: where its cutouts go.
        environ: the environment, which goes before the defaults.

    Raises:
        ConfigurationError: the two overlap, or a variable is wrong.
    """
    watched, results = (places.absolute(os.fspath(Path.cwd() / one), None) for one in (input_dir, output_dir))
    written = {
        "service": {"state_dir": os.fspath(pair_state_dir(watched, results))},
        "folder": [{"name": _folder_name(watched), "input": watched, "output": results}],
    }
    return assemble(written, environment.read(environ), origin="--input and --output", base=None)


def pair_state_dir(watched: Path, results: Path) -> Path:
    """The state directory of one pair of folders without a configuration file.

    Args:
        watched: the input, absolute.
        results: the output, absolute.
    """
    both = os.fsencode(watched) + b"\0" + os.fsencode(results)
    return places.state_dir() / "pairs" / hashlib.sha256(both).hexdigest()[:_KEY_CHARACTERS]


def defaults(environ: Mapping[str, str]) -> Settings:
    """Settings without a file and without a hot folder, for a command that needs none.

    Args:
        environ: the environment, which goes before the defaults.

    Raises:
        ConfigurationError: a variable is wrong.
    """
    return assemble({}, environment.read(environ), origin="the defaults", base=None, needs_folder=False)


def _named(path: Path, by: str) -> Path:
    path = Path.cwd() / os.path.expanduser(path)  # noqa: PTH111 -- what stands for no home is told as it is
    if not os.path.exists(path):  # noqa: PTH110 -- as in `find`
        raise ConfigurationError(
            f"there is no such file, which {by} names", path=path, advice="Give the path of the file."
        )
    return path


def _folder_name(watched: Path) -> str:
    """A directory's name as a folder's: printable, and not too long."""
    printable = "".join(one if one.isprintable() else "_" for one in watched.name)
    return printable[:MAX_NAME].strip() or "folder"
