"""The page's modules, joined to one: each runs as it does apart, and what cannot be joined is refused."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from cutoutd.page.web.joined_script import joined
from tests.unit.test_page_scripts import NODE

if TYPE_CHECKING:
    from pathlib import Path

MODULES = {
    "main.js": """\
import { first, second as other } from "./a/one.js";
import * as view from "./b/view.js";
view.show().then((shown) => console.log(first, other(), view.title, shown));
""",
    "a/one.js": """\
import { ran } from "../core/order.js";
const title = "its own";
ran.push(title);
export const first = 1;
export function second() {
  return title;
}
""",
    "b/view.js": """\
import { first } from "../a/one.js";
import { Order } from "../core/order.js";
export const title = "a view";
export async function show() {
  return [...new Order().ran, first].join("+");
}
""",
    "core/order.js": """\
export const ran = ["core"];
export class Order {
  ran = ran;
}
""",
    "alone.js": "console.log('nobody imports it');\n",
}


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_a_joined_module_does_what_its_modules_do(tmp_path: Path) -> None:
    """Each runs once, after those that it imports, and has names of its own; its exports can be had by its path."""
    assert NODE is not None
    script = tmp_path / "joined.mjs"
    asked = 'console.log(modules["a/one.js"].first, Object.keys(modules).join(" "));\n'
    script.write_text(joined(MODULES, "main.js") + asked, encoding="utf-8")
    ran = subprocess.run([NODE, script], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stdout.splitlines() == [
        "1 core/order.js a/one.js b/view.js main.js",
        "1 its own a view core+its own+1",
    ], ran.stderr


@pytest.mark.parametrize(
    "line",
    [
        'import first from "./alone.js";',
        'import "./alone.js";',
        'import {\n  first,\n} from "./alone.js";',
        'import("./alone.js");',
        "const here = import.meta.url;",
        "export default 1;",
        "export let count = 1;",
        "export { first };",
        'export * from "./alone.js";',
    ],
)
def test_a_module_of_another_form_is_refused(line: str) -> None:
    """The form is that of the page's modules; the others would need more than lines that are replaced."""
    with pytest.raises(ValueError, match=r"main\.js has an import or export"):
        joined({**MODULES, "main.js": f"{line}\n"}, "main.js")


def test_a_module_that_is_not_there_is_named() -> None:
    """Its import says which."""
    with pytest.raises(KeyError, match=r"core/order\.js"):
        joined({name: text for name, text in MODULES.items() if name != "core/order.js"}, "main.js")
