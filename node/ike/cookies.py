"""Stateless cookies: what shows that a peer receives at the address it sends from (RFC 7296 2.6).

    cookie = number of the secret (1 octet) | HMAC-SHA256(secret, SPIi | source address | Ni), 16 octets of it

Rules:

1. Nothing is kept for a cookie; it is made again when it comes back, and compared in constant time.
2. Secrets live for `LIFETIME`; the one before is still accepted, older ones never are.
"""

import hmac

from node.model.message import Glance, Path
from node.ports import Entropy

#: Seconds before the secret is changed: a cookie is good for this long at least, and twice as long at most.
LIFETIME = 30.0
#: Octets of a secret, and of the MAC in a cookie; both as strong as the suites that are negotiated.
SECRET_SIZE, MAC_SIZE = 32, 16
#: Octets that the data of a COOKIE notification may have (RFC 7296 2.6).
MIN_COOKIE, MAX_COOKIE = 1, 64


class Cookies:
    """Makes and checks the cookies of one responder."""

    __slots__ = ("_changed", "_entropy", "_number", "_secrets")

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._changed: float | None = None
        self._number = 0
        self._secrets: dict[int, bytes] = {}

    def make(self, spi_i: bytes, nonce: bytes, path: Path, now: float) -> bytes:
        """The cookie for a request with this SPI and nonce that came on this path."""
        self._renew(now)
        return self._cookie(self._number, spi_i, nonce, path)

    def good(self, spi_i: bytes, shown: Glance, path: Path, now: float) -> bool:
        """True where the request shows the cookie that it was given."""
        self._renew(now)
        if not shown.cookie or shown.cookie[0] not in self._secrets:
            return False
        expected = self._cookie(shown.cookie[0], spi_i, shown.nonce, path)
        return hmac.compare_digest(expected, shown.cookie)

    def _cookie(self, number: int, spi_i: bytes, nonce: bytes, path: Path) -> bytes:
        host = path.peer_host.encode()
        # The SPI has a fixed size and the address tells its own, so no two requests are the same octets.
        said = spi_i + len(host).to_bytes(2) + host + nonce
        return bytes((number,)) + hmac.digest(self._secrets[number], said, "sha256")[:MAC_SIZE]

    def _renew(self, now: float) -> None:
        age = None if self._changed is None else now - self._changed
        if age is not None and age < LIFETIME:
            return
        kept = {} if age is None or age >= 2 * LIFETIME else {self._number: self._secrets[self._number]}
        self._number = (self._number + 1) % 256
        self._secrets = {**kept, self._number: self._entropy(SECRET_SIZE)}
        self._changed = now
