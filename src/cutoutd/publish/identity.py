"""What a hot folder is known by: the UUID of its marker. Its name is a label, which its owner may change.

Sidecars and failure records say both. Those of earlier versions say the name alone, so the names that a folder had
before are known as well. This module must not look at files or at the journal.
"""

from __future__ import annotations


class FolderIdentity:
    """One folder's identity; the marker is told once it was found.

    Args:
        name: what it is called now.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._marker = ""
        self._names = frozenset({name})

    @property
    def name(self) -> str:
        """What it is called now."""
        return self._name

    @property
    def names(self) -> frozenset[str]:
        """What it is, or was, called."""
        return self._names

    @property
    def marker(self) -> str:
        """UUID of its marker; empty until that was found."""
        return self._marker

    def found(self, marker: str, names: frozenset[str]) -> None:
        """The folder was looked at; ``names`` are those it had before, as far as they are known."""
        self._marker = marker
        self._names = names | {self._name}

    def owns(self, folder: str, marker: str) -> bool:
        """Whether a record that says this name and this marker, which may be empty, is this folder's."""
        if marker and self._marker:
            return marker == self._marker
        return folder in self._names
