"""Private RSA keys whose numbers are wrong: refused when they are loaded, not when a peer refuses AUTH.

The library's own validation, which also tests the primes, is switched off because of its time.
"""

import math
import time
from base64 import encodebytes
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.crypto.signature import load_signer

KEY = rsa.generate_private_key(65537, 2048)
NUMBERS = KEY.private_numbers()
NAMES = ("p", "q", "d", "dmp1", "dmq1", "iqmp", "n")


def pem(n: int, e: int, p: int, q: int, d: int, dmp1: int, dmq1: int, iqmp: int) -> bytes:
    """A key file (RSAPrivateKey of RFC 8017 A.1.2) with these numbers, whatever they are."""
    key = tlv(0x30, b"".join(map(integer, (0, n, e, d, p, q, dmp1, dmq1, iqmp))))
    return b"-----BEGIN RSA PRIVATE KEY-----\n" + encodebytes(key) + b"-----END RSA PRIVATE KEY-----\n"


def integer(number: int) -> bytes:
    return tlv(2, number.to_bytes(number.bit_length() // 8 + 1))


def tlv(tag: int, contents: bytes) -> bytes:
    size = len(contents)
    length = (
        bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2) if size > 0xFF else bytes([0x81, size])
    )
    return bytes([tag]) + length + contents


def changed(name: str, change: Callable[[int], int]) -> bytes:
    """The good key with one number changed."""
    names = ("p", "q", "d", "dmp1", "dmq1", "iqmp")
    numbers = {one: getattr(NUMBERS, one) for one in names}
    numbers |= {"n": NUMBERS.public_numbers.n, "e": NUMBERS.public_numbers.e}
    numbers[name] = change(numbers[name])
    return pem(**numbers)


def of_primes(p: int, q: int) -> bytes:
    """A key whose numbers belong together, were p and q prime."""
    e = 65537
    d = pow(e, -1, math.lcm(p - 1, q - 1))
    return pem(p * q, e, p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p))


@pytest.mark.parametrize("change", [lambda v: v + 2, lambda v: v ^ 1 << 500], ids=["+ 2", "one bit"])
@pytest.mark.parametrize("name", NAMES)
def test_one_wrong_number(name: str, change: Callable[[int], int]) -> None:
    with pytest.raises(ValueError, match="numbers of the RSA key do not belong together; issue") as caught:
        load_signer(changed(name, change))
    assert "\n" not in str(caught.value)


def test_a_factor_that_is_not_prime() -> None:
    p = NUMBERS.p + 2
    while math.gcd(65537, p - 1) != 1 or pow(2, p - 1, p) == 1:
        p += 2
    with pytest.raises(ValueError, match="do not belong together"):
        load_signer(of_primes(p, NUMBERS.q))


def test_a_private_exponent_of_either_kind() -> None:
    """Reduced by the product or by the least common multiple of p - 1 and q - 1 (RFC 8017 3.2): both sign."""
    p, q = NUMBERS.p, NUMBERS.q
    assert load_signer(of_primes(p, q)).public_key
    d = pow(65537, -1, (p - 1) * (q - 1))
    whole = pem(p * q, 65537, p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p))
    assert load_signer(whole).public_key == load_signer(of_primes(p, q)).public_key


def test_loading_takes_no_longer_than_a_few_signatures() -> None:
    octets = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    spent = []
    for _ in range(3):
        began = time.process_time()
        load_signer(octets)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.03
