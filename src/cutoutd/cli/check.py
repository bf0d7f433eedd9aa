"""`cutoutd check`: is the configuration right, what does it come to, and what waits?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cutoutd.cli.departure import require_extra, what_leaves
from cutoutd.cli.finding import find_settings
from cutoutd.cli.printing import printable
from cutoutd.cli.where import ConfigOption, InputOption, OutputOption
from cutoutd.daemon.assembly import check_backgrounds, permissions_of, rules_of
from cutoutd.daemon.root_access import ADVICE, refused
from cutoutd.doctor import overlaps
from cutoutd.errors import ConfigurationError, UsageError
from cutoutd.intake.probe import open_probe
from cutoutd.intake.scan import Scan
from cutoutd.intake.sniff import Kind
from cutoutd.journal.state import check_state
from cutoutd.models import catalog
from cutoutd.settings import dump
from cutoutd.settings.scores import older_limits

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.settings.schema import Folder


def check(
    config: ConfigOption = None, input_dir: InputOption = None, output_dir: OutputOption = None
) -> None:
    """Validate the configuration, print it as it comes out, and count the pictures that are there."""
    chosen = find_settings(config, input_dir, output_dir)
    require_extra(chosen)
    for name in chosen.models:
        catalog.find(name)
    rules = {folder.name: rules_of(folder) for folder in chosen.folder}
    for folder in chosen.folder:
        permissions_of(folder)
        check_backgrounds(folder)
    _check_state(chosen.service.state_dir)
    survey = overlaps.ask(chosen)
    if survey.closed:
        found = [f'[[folder]] "{name}" {why}' for name, why in survey.closed.items()]
        raise ConfigurationError("; and ".join(found))
    print(dump.as_toml(chosen))
    print("\n".join(f"# {line}" for line in what_leaves(chosen)))
    for name, word in older_limits(chosen):
        print(f"# {name}: {word}")
    for folder in chosen.folder:
        if folder.name not in survey.silent and (
            why := refused(folder, allow_root=chosen.service.allow_root)
        ):
            print(f"# {folder.name}: `cutoutd run` is refused as it is: {printable(why)}. {ADVICE}")
    for name in survey.silent:
        print(
            f"# {name}: a disk or share does not answer, so it was not seen whether its places are others' too"
        )
    for folder in chosen.folder:
        print(
            f"# {folder.name}: {_waiting(os.fspath(folder.input), Scan(os.fspath(folder.input), rules[folder.name]))}"
        )

    print("# The configuration is right.")


def _check_state(directory: Path) -> None:
    """See that a start would not refuse the state directory; another user's is that user's affair.

    Raises:
        NotPrivateError: it would.
    """
    try:
        if not directory.exists() or directory.stat().st_uid == os.geteuid():
            check_state(directory)
    except NotADirectoryError as error:
        raise UsageError("a file is in the way of this state directory", path=directory) from error
    except PermissionError:
        print(f"# the state directory {printable(os.fspath(directory))} cannot be entered by you")


def pictures_in(folder: Folder) -> int:
    """How many pictures lie in a folder now.

    Raises:
        OSError: it cannot be read.
    """
    root = os.fspath(folder.input)
    return _count(root, Scan(root, rules_of(folder)))


def _waiting(root: str, scan: Scan) -> str:
    try:
        pictures = _count(root, scan)
    except OSError as error:
        return f"{printable(root)} cannot be read now ({error.strerror})"
    unreadable = f", {len(scan.errors)} places cannot be read" if scan.errors else ""
    return f"{pictures} {'picture is' if pictures == 1 else 'pictures are'} there, cut or not{unreadable}"


def _count(root: str, scan: Scan) -> int:
    return sum(1 for seen in scan if (probe := open_probe(root, seen.path)) and probe.kind is not Kind.OTHER)
