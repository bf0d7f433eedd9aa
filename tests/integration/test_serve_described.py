"""The API matches its OpenAPI documents: schemathesis makes valid and invalid requests from them.

Takes a minute.
"""

from __future__ import annotations

import re
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cutoutd.serve.web import contract_openapi
from cutoutd.serve.web.openapi import DOCUMENT
from tests.integration.serving import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
METHODS = frozenset({"delete", "get", "head", "options", "patch", "post", "put"})
ENDLESS = "/v1/events"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """An API without a daemon that cuts: requests are tested, not their results."""
    with serving(tmp_path_factory.mktemp("api") / "home", "[serve]\nmax_file_mb = 1") as one:
        yield one


asked = settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def answered_as_described(case: Any, api: Serving) -> None:  # noqa: ANN401 -- schemathesis's
    """Only answers that the document describes, and never an internal error."""
    if "folder" in case.path_parameters and len(case.path_parameters["folder"]) % 2:
        case.path_parameters["folder"] = "shop"
    answer = case.call(base_url=f"http://127.0.0.1:{api.port}", headers={"X-Api-Key": api.key}, timeout=60)
    case.validate_response(answer, checks=CHECKS)


def answered_by_the_contract_of_another(case: Any, api: Serving) -> None:  # noqa: ANN401 -- as above
    """Each in its own form."""
    answer = case.call(base_url=f"http://127.0.0.1:{api.port}", headers={"X-Api-Key": api.key}, timeout=60)
    case.validate_response(answer, checks=CHECKS)


def each_operation(
    document: Mapping[str, Any], promise: str, check: Callable[[Any, Serving], None]
) -> Iterator[tuple[str, object]]:
    """Yield a test for each operation of a document, with a name of its own: of tests of one name xdist runs one alone."""
    schema = schemathesis.openapi.from_dict(dict(document))
    for path, item in document["paths"].items():
        for method in sorted(METHODS & item.keys()):
            if path == ENDLESS:
                continue

            @wraps(check)
            def test(case: Any, api: Serving) -> None:  # noqa: ANN401 -- as above
                check(case, api)

            operation = schema.include(path=path, method=method.upper())
            yield (
                f"test_{method}_{re.sub(r'[^a-z0-9]+', '_', path)}_{promise}",
                operation.parametrize()(asked(test)),
            )


globals().update(each_operation(DOCUMENT, "is_answered_as_described", answered_as_described))
globals().update(
    each_operation(
        contract_openapi.DOCUMENT, "is_answered_by_its_contract", answered_by_the_contract_of_another
    )
)
