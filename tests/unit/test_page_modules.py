"""The page's JavaScript modules and style sheets: how they depend on each other, what is fetched with the page, how long they are."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from importlib import resources
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import TYPE_CHECKING

import cutoutd
from cutoutd.page.web import static_files

if TYPE_CHECKING:
    from collections.abc import Iterator

STATIC = Path(str(resources.files(cutoutd))) / "page" / "static"
TESTS = Path(__file__).with_name("page_js")
SOURCES = {
    path.relative_to(STATIC / "js").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted((STATIC / "js").rglob("*.js"))
}
STYLES = {
    path.relative_to(STATIC / "css").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted((STATIC / "css").rglob("*.css"))
}

ABOVE: dict[str, set[str]] = {
    "core": set(),
    "components": {"core"},
    "viewer": {"core", "components"},
    "shell": {"core", "components"},
    "screen": {"core", "components", "viewer"},
}
"""What the modules of a folder may import beside those of the folder itself. `main.js` may import all; no screen another one."""

MODULE_LINES = 400
FUNCTION_LINES = 60

_IMPORT = re.compile(r'^import (?:\{([^}]*)\}|\* as \w+) from "(\.[^"]+)"', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
_FUNCTION = re.compile(r"^( *)(?!if|for|while|switch|catch|else|\})\S.*(?:\)|=>) \{$")


def _target(module: str, address: str) -> str:
    return normpath(str(PurePosixPath(module).parent / address))


def _imported(module: str) -> set[str]:
    """Return the modules that run before this one."""
    return {_target(module, address) for _, address in _IMPORT.findall(SOURCES[module])}


def _folder(module: str) -> str:
    return PurePosixPath(module).parent.name


def _allowed(folder: str) -> set[str]:
    return ABOVE.get(folder, ABOVE["screen"]) | {folder}


def _with_imported(module: str) -> set[str]:
    """Return a module and all that it imports, directly or not."""
    found, left = set(), [module]
    while left:
        if (one := left.pop()) not in found:
            found.add(one)
            left += _imported(one)
    return found


def test_modules_depend_in_one_direction() -> None:
    """A screen knows the viewer, which knows no screen; what is in `core` knows neither."""
    arrows = [(module, other) for module in SOURCES for other in _imported(module)]
    assert len(arrows) > len(SOURCES)
    wrong = [(module, other) for module, other in arrows if _folder(other) not in _allowed(_folder(module))]
    assert [(module, other) for module, other in wrong if _folder(module)] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    """In a circle, a module runs before what it imports."""
    list(TopologicalSorter({module: _imported(module) for module in SOURCES}).static_order())


def test_each_module_is_used() -> None:
    """By `main.js`, or by what it imports."""
    assert _with_imported("main.js") == SOURCES.keys()


def test_each_name_that_is_imported_is_exported_and_the_other_way_round() -> None:
    """A name that nobody imports is dead, or needs no export; one that is not there ends the page."""
    used, missing = set(), []
    for module, text in SOURCES.items():
        for names, address in _IMPORT.findall(text):
            other = _target(module, address)
            for name in (one.strip().partition(" as ")[0] for one in names.split(",") if one.strip()):
                used.add((other, name))
                if name not in _EXPORT.findall(SOURCES[other]):
                    missing.append(f"{module} imports {name} of {other}")
    assert missing == []
    tested = "".join(path.read_text(encoding="utf-8") for path in TESTS.glob("*.test.mjs"))
    screens = {module for module in SOURCES if module.endswith("-view.js") and module in _imported("main.js")}
    contract = {(screen, name) for screen in screens for name in ("title", "show")}
    exported = {(module, name) for module, text in SOURCES.items() for name in _EXPORT.findall(text)}
    unused = exported - used - contract
    assert {one for one in unused if not re.search(rf"\b{one[1]}\b", tested)} == set()


def test_no_module_and_no_function_is_too_long() -> None:
    """The limits of Python's modules and functions hold here as well."""
    assert [module for module, text in SOURCES.items() if text.count("\n") > MODULE_LINES] == []
    lengths = {f"{module}: {name}": length for module in SOURCES for name, length in _functions(module)}
    assert len(lengths) > len(SOURCES)
    assert {name: length for name, length in lengths.items() if length >= FUNCTION_LINES} == {}


def test_all_modules_are_fetched_at_once() -> None:
    """A request costs the browser more than what a module has to say."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    (fetched,) = re.findall(r'<script type="module" src="/static/([^"]+)"></script>', page)
    files = static_files.read_all()
    assert [name for name in files if name.endswith(".js")] == [fetched]
    served = files[fetched].body.decode()
    assert re.findall(r"^import\b", served, re.MULTILINE) == []
    assert [name for name in SOURCES if served.count(f'modules["{name}"] = ') != 1] == []


def test_all_style_sheets_are_fetched_at_once() -> None:
    """Nothing is drawn before they are there: one that another one imports would come a round trip later."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    (fetched,) = re.findall(r'<link rel="stylesheet" href="/static/([^"]+)">', page)
    files = static_files.read_all()
    assert [name for name in files if name.endswith(".css")] == [fetched]
    served = files[fetched].body.decode()
    assert "@import" not in served
    assert [name for name, text in STYLES.items() if name != "page.css" and served.count(text) != 1] == []


def test_no_style_sheet_is_too_long_and_each_belongs_to_a_folder_of_modules() -> None:
    """Its rules are found where the elements are made."""
    assert [name for name, text in STYLES.items() if text.count("\n") > MODULE_LINES] == []
    folders = {_folder(name) for name in STYLES if name != "page.css"}
    assert len(folders) > 5
    assert folders - {_folder(module) for module in SOURCES} == set()


def test_each_class_of_a_rule_is_given_to_an_element() -> None:
    """A rule for nothing is dead."""
    rules = re.sub(r"/\*.*?\*/|@[^{;]*[{;]", "", "".join(STYLES.values()), flags=re.DOTALL)
    classes = {
        name for head in re.findall(r"([^{}]+)\{", rules) for name in re.findall(r"\.([a-z][\w-]*)", head)
    }
    made = (STATIC / "index.html").read_text(encoding="utf-8") + "".join(SOURCES.values())
    words = set(re.findall(r"[\w-]+", made))
    starts = tuple(re.findall(r"([\w-]+-)\$\{", made))
    assert len(classes) > 200
    assert {name for name in classes - words if not name.startswith(starts)} == set()


def _functions(module: str) -> Iterator[tuple[str, int]]:
    """Yield the first line of each function, and how many lines there are to the brace that ends it."""
    lines = SOURCES[module].split("\n")
    for number, line in enumerate(lines):
        if found := _FUNCTION.match(line):
            end = f"{found[1]}}}"
            yield line.strip(), next(i for i, one in enumerate(lines[number:]) if one.startswith(end))
