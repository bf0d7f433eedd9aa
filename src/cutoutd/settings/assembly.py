"""Turns a document and the environment into settings, or into one error that lists all that is wrong.

It must not read files; the words of the messages are found elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from cutoutd.errors import ConfigurationError
from cutoutd.settings import combinations, rules, wording
from cutoutd.settings.hooks import CommonHooks
from cutoutd.settings.hosted import HostedSettings
from cutoutd.settings.messages import Problem, of_folder, problems_of
from cutoutd.settings.schema import Folder, ModelSettings, PoolSettings, Service, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cutoutd.settings.environment import Overrides

_T = TypeVar("_T", bound=BaseModel)


@dataclass(kw_only=True, slots=True)
class _Assembly:
    """One assembly under way."""

    document: Mapping[str, Any]
    overrides: Overrides
    base: Path | None
    needs_folder: bool
    problems: list[Problem] = field(default_factory=list)

    def unknown_tables(self) -> None:
        for name, value in self.document.items():
            if name not in Settings.model_fields:
                is_table = isinstance(value, dict | list)
                self.problems.append(
                    Problem(
                        table=f"[{name}]" if is_table else "",
                        key="" if is_table else name,
                        text=wording.unknown_table(name),
                    )
                )

    def section(self, name: str, model: type[_T]) -> _T | None:
        """A table that occurs once."""
        written = self.document.get(name, {})
        if not isinstance(written, dict):
            text = f"is a table; write [{name}], with one pair of brackets, on a line of its own"
            self.problems.append(Problem(table="", key=name, text=text))
            written = {}
        from_outside = {
            key: override.value for (table, key), override in self.overrides.values.items() if table == name
        }
        return self._parsed(
            model, {**written, **from_outside}, f"[{name}]", frozenset(written) - frozenset(from_outside)
        )

    def folders(self) -> dict[int, Folder]:
        """The hot folders that are right in themselves, by their number."""
        written = self.document.get("folder", [])
        if not isinstance(written, list) or not all(isinstance(one, dict) for one in written):
            text = "is a list of tables; write [[folder]], with two pairs of brackets, on a line of its own"
            self.problems.append(Problem(table="", key="folder", text=text))
            return {}
        if (
            not written and self.needs_folder and not self.problems
        ):  # an unknown table is most likely this one, misspelt
            text = "there is no [[folder]], so nothing would be watched; add one with name, input and output"
            self.problems.append(Problem(table="", key="", text=text))
        parsed = {
            number: self._parsed(Folder, one, of_folder(one.get("name"), number))
            for number, one in enumerate(written, 1)
        }
        return {number: folder for number, folder in parsed.items() if folder is not None}

    def _parsed(
        self, model: type[_T], written: dict[str, Any], title: str, from_file: frozenset[str] | None = None
    ) -> _T | None:
        try:
            return model.model_validate(written, context=self.base)
        except ValidationError as error:
            self.problems.extend(problems_of(error, title, model, from_file=from_file))
            return None


def assemble(
    document: Mapping[str, Any],
    overrides: Overrides,
    *,
    origin: str,
    base: Path | None,
    needs_folder: bool = True,
) -> Settings:
    """Settings, checked as a whole.

    Args:
        document: as TOML gives it.
        overrides: from the environment; they go before the document.
        origin: what the document is called in messages.
        base: the directory its relative paths start from.
        needs_folder: without a hot folder there is nothing to do.

    Raises:
        ConfigurationError: something is wrong; lists everything that is.
    """
    assembly = _Assembly(document=document, overrides=overrides, base=base, needs_folder=needs_folder)
    assembly.unknown_tables()
    service = assembly.section("service", Service)
    pool = assembly.section("pool", PoolSettings)
    model = assembly.section("model", ModelSettings)
    hosted = assembly.section("hosted", HostedSettings)
    hooks = assembly.section("hooks", CommonHooks)
    folders = assembly.folders()
    assembly.problems.extend(
        rules.problems(folders, service.state_dir if service is not None else None, hosted)
    )
    assembly.problems.extend(combinations.problems(folders, pool.max_pixels if pool is not None else None))
    lines = [f"${name}: {text}" for name, text in overrides.problems.items()]
    lines += [_line(problem, overrides, origin) for problem in assembly.problems]
    if lines or service is None or pool is None or model is None or hosted is None or hooks is None:
        raise _error(lines)
    return Settings(
        service=service, pool=pool, model=model, hosted=hosted, hooks=hooks, folder=tuple(folders.values())
    )


def _line(problem: Problem, overrides: Overrides, origin: str) -> str:
    override = overrides.values.get((problem.table.strip("[]"), problem.key))
    if override is not None:
        return f"${override.variable}: {problem.text}"
    where = " ".join(part for part in (problem.table, problem.key) if part)
    return ": ".join(part for part in (origin, where, problem.text) if part)


def _error(lines: list[str]) -> ConfigurationError:
    if len(lines) == 1:
        return ConfigurationError(lines[0])
    return ConfigurationError(
        "\n  ".join((f"{len(lines)} things are wrong:", *lines)),
        advice="Correct them and run `cutoutd check`.",
    )
