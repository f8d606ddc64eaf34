"""Octets that must never be shown."""

import hmac
from typing import final


@final
class Secret:
    """Key material. Its repr is redacted, it does not pickle, and equality takes constant time.

    `reveal()` gives the octets; call it only where they enter a primitive. CPython may keep copies, so wiping
    is not promised.
    """

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = bytes(octets)

    def reveal(self) -> bytes:
        """Return the octets."""
        return self._octets

    def __len__(self) -> int:
        return len(self._octets)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._octets, other._octets)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Secret of {len(self._octets)} octets>"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not serialised")
