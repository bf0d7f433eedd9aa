"""Whether a program has a response already, by its entity tag (RFC 9110, 8.8.3 and 13.1.2).

Pure: this module must not know what is served.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.datastructures import Headers

_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')


def is_named(headers: Headers, tag: str) -> bool:
    """Whether ``If-None-Match`` names a tag, alone or among others.

    A tag that is marked as weak counts, since a proxy marks it so when it compresses a response.

    Args:
        headers: headers of the request.
        tag: the present tag, in quotation marks.
    """
    named = ",".join(headers.getlist("if-none-match"))
    return named.strip() == "*" or tag in _TAG.findall(named)
