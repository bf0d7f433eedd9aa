"""The manual page matches the commands, and shells complete them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("cutoutd")
# As a person types it: the shell's own function is called, with a word begun.
BASH = """
source <(_CUTOUTD_COMPLETE=source_bash {command})
COMP_WORDS=(cutoutd {word}); COMP_CWORD=1
_cutoutd_completion {command}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
autoload -Uz compinit && compinit -u -d {dump}
_describe() {{ printf '%s\\n' $_typer_options $1 ${{(P)1}} ; }}
compadd() {{ printf '%s\\n' "$@"; }}
_arguments() {{ printf '%s\\n' "$@"; }}
words=(cutoutd {word}); CURRENT=2
eval "$(_CUTOUTD_COMPLETE=source_zsh {command} | sed 's/^compdef.*//')"
_cutoutd_completion
"""


def test_the_manual_page_is_that_of_the_commands() -> None:
    """``python man/make.py`` generates it."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "man" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "man" / "cutoutd.1").read_text(encoding="utf-8") == module.render()


def test_the_manual_page_is_understood_without_a_warning() -> None:
    """By groff, where groff is installed."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    page = ROOT / "man" / "cutoutd.1"
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", page], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "User Commands" in done.stdout


def completed(shell: str, script: str, tmp_path: Path, word: str) -> str:
    """Return what a shell offers to complete a word with."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [shell, "-c", script.format(command=COMMAND, word=word, dump=tmp_path / "dump")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(tmp_path), "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"},
    )
    return done.stdout


@pytest.mark.parametrize(("shell", "script"), [("bash", BASH), ("zsh", ZSH)])
def test_shells_complete_the_commands(tmp_path: Path, shell: str, script: str) -> None:
    """Only those that begin with the typed letters."""
    offered = completed(shell, script, tmp_path, "re")
    for command in ("retry", "resume", "review"):
        assert command in offered, offered
    assert "doctor" not in offered
