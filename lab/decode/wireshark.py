"""What Wireshark needs to open a capture of ours: its table of ESP SAs, preferences, how to read port 8000.

Rows name no addresses, so they fit whatever the vantage point. What an older Wireshark cannot read stands in
the file as a comment that says which version does: one bad row would cost an error message at every start.
Formats: the user's guide, "ESP SAs" and "IKEv2 decryption table"; 4.0, 4.4 and 4.6 were tried.
"""

import os
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from lab.decode.keylog import EspKeys, IkeKeys, Keys
from lab.errors import EnvironmentNotReady

#: (major, minor)
Version = tuple[int, int]
#: The oldest version that files are written for, and the one that reads the secrets of a pcapng file.
OLDEST, NEWEST = (4, 0), (5, 0)
#: Versions that know extended sequence numbers, and ChaCha20-Poly1305 in ESP.
_ESN, _CHACHA = (4, 4), (4, 6)

_ESP_ENCR = {
    "ENCR_NULL": "NULL",
    "ENCR_AES_CBC": "AES-CBC [RFC3602]",
    "ENCR_AES_GCM_16": "AES-GCM with 16 octet ICV [RFC4106]",
    "ENCR_CHACHA20_POLY1305": "ChaCha20 with Poly1305 [RFC7634]",
}
_ESP_INTEG = {
    # Every AEAD: with anything else Wireshark opens nothing.
    "": "NULL",
    "AUTH_HMAC_SHA2_256_128": "HMAC-SHA-256-128 [RFC4868]",
    "AUTH_HMAC_SHA2_384_192": "HMAC-SHA-384-192 [RFC4868]",
    "AUTH_HMAC_SHA2_512_256": "HMAC-SHA-512-256 [RFC4868]",
}
_IKE_ENCR = {
    "ENCR_AES_CBC": "AES-CBC-{} [RFC3602]",
    "ENCR_AES_GCM_16": "AES-GCM-{} with 16 octet ICV [RFC5282]",
}
_IKE_INTEG = {
    "": "NONE [RFC4306]",
    "AUTH_HMAC_SHA2_256_128": "HMAC_SHA2_256_128 [RFC4868]",
    "AUTH_HMAC_SHA2_384_192": "HMAC_SHA2_384_192 [RFC4868]",
    "AUTH_HMAC_SHA2_512_256": "HMAC_SHA2_512_256 [RFC4868]",
}

PREFERENCES = """\
# ESP is opened and its ICVs are checked; Wireshark does neither by itself.
esp.enable_encryption_decode: TRUE
esp.enable_authentication_check: TRUE
"""
README = """\
Wireshark for this run
======================

    WIRESHARK_CONFIG_DIR=wireshark wireshark capture.pcapng
    WIRESHARK_CONFIG_DIR=wireshark tshark -r capture.pcapng

in the directory of the run, or copy these files into a profile of yours (Help, About, Folders shows where).

esp_sa             the keys of every Child SA, both directions: whoever has this file reads the tunnel
preferences        open ESP and check its ICVs
decode_as_entries  UDP port 8000 is ESP in UDP; of 500 and 4500 Wireshark knows by itself

ESP is shown with the packet inside. IKE is not: on port 8000 it is in ASN.1 DER, the lab's own profile, which
Wireshark does not know. It takes such a message for ESP with an SPI that begins with 0x30, and an SPI of ours
never does. To read those:

    ipseclab decode
"""
_IKE_README = """
ikev2_decryption_table  the keys of IKE SAs in the encoding of RFC 7296, which Wireshark does read
"""
_ESP_HEAD = "# ESP SAs: protocol, source, destination, SPI, encryption, key, authentication, key\n"
_IKE_HEAD = "# SPIi, SPIr, SK_ei, SK_er, encryption, SK_ai, SK_ar, integrity\n"


def esp_sa(keys: Iterable[EspKeys], version: Version = OLDEST) -> str:
    """The file `esp_sa` for a version of Wireshark. What it cannot read is a comment."""
    lines = (_for_version(_esp_row(one), _needs(one), version) for one in keys)
    return _ESP_HEAD + "".join(f"{line}\n" for line in dict.fromkeys(lines))


def secrets(keys: Iterable[EspKeys]) -> bytes:
    """The data of a secrets block of the type pcapng.SECRETS_ESP: rows of `esp_sa`, for a Wireshark that
    reads them.
    """
    return esp_sa(keys, NEWEST).encode("ascii")


def ikev2_decryption_table(keys: Iterable[IkeKeys]) -> str:
    """The file `ikev2_decryption_table`, of the IKE SAs whose profile is that of RFC 7296."""
    return _IKE_HEAD + "".join(f"{_ike_row(one)}\n" for one in keys if one.profile == "rfc7296")


def decode_as_entries(ports: Iterable[int]) -> str:
    """The file `decode_as_entries`: these UDP ports carry ESP."""
    return "".join(f"decode_as_entry: udp.port,{port},(none),UDPENCAP\n" for port in sorted(ports))


def write(
    directory: Path, keys: Keys, version: Version = OLDEST, ports: Iterable[int] = frozenset({8000})
) -> Path:
    """Write all files into `wireshark/` in a directory, for us alone to read: they hold keys.

    Raises EnvironmentNotReady where they cannot be written.
    """
    place = directory / "wireshark"
    tables = {
        "esp_sa": esp_sa(keys.esp, version),
        "preferences": PREFERENCES,
        "decode_as_entries": decode_as_entries(ports),
        "README": README,
    }
    if any(one.profile == "rfc7296" for one in keys.ike):
        tables["ikev2_decryption_table"] = ikev2_decryption_table(keys.ike)
        tables["README"] += _IKE_README
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in tables.items():
            _write(place / name, text)
    except OSError as error:
        raise EnvironmentNotReady(
            f"{error.filename or place}: cannot be written: {error.strerror}: make room there"
        ) from error
    return place


def _write(path: Path, text: str) -> None:
    """Replace a file by one that others cannot read, at no moment."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(text)


def _needs(keys: EspKeys) -> Version:
    """The first version that opens such packets."""
    if keys.algorithms.encr == "ENCR_CHACHA20_POLY1305":
        return _CHACHA
    return _ESN if keys.esn else OLDEST


def _for_version(row: str, needed: Version, version: Version) -> str:
    if needed <= version:
        return row
    return f"# from Wireshark {needed[0]}.{needed[1]} on, without this remark: {row}"


def _esp_row(keys: EspKeys) -> str:
    family = f"IPv{ip_address(keys.destination).version}"
    fields = [
        *(family, "*", "*", f"0x{keys.spi.hex()}"),
        *(_ESP_ENCR[keys.algorithms.encr], _hexadecimal(keys.key)),
        *(_ESP_INTEG[keys.algorithms.integ], _hexadecimal(keys.integ_key)),
    ]
    # The length of sequence numbers and their upper half at the start; without them 32 bits are meant.
    fields += ["64-bit", "0"] if keys.esn else []
    return ",".join(f'"{field}"' for field in fields)


def _hexadecimal(key: bytes) -> str:
    return f"0x{key.hex()}" if key else ""


def _ike_row(keys: IkeKeys) -> str:
    """One IKE SA. Hexadecimal without quotes here, names with them."""
    used = keys.algorithms
    encr = _IKE_ENCR.get(used.encr)
    if encr is None:
        return f"# {keys.name}: no version of Wireshark opens {used.encr} in IKE"
    secret = (keys.spi_i, keys.spi_r, keys.sk_ei, keys.sk_er)
    integ = (keys.sk_ai.hex(), keys.sk_ar.hex(), f'"{_IKE_INTEG[used.integ]}"')
    return ",".join([*(one.hex() for one in secret), f'"{encr.format(used.key_bits)}"', *integ])
