"""How values are written in a tree: octets, text of a peer, addresses, numbers with their names."""

from ipaddress import ip_address

from lab.decode.values import Item
from lab.text import printable

#: Octets of a field that are shown; of longer ones the first of these.
SHOWN = 32
#: Characters of a peer's text that are shown.
SHOWN_TEXT = 200


def count(number: int, unit: str = "octet") -> str:
    """`1 octet`, `2 octets`."""
    return f"{number} {unit}{'' if number == 1 else 's'}"


def octets(data: bytes) -> str:
    """The size, and the octets in hexadecimal; the first of them where they are many."""
    if not data:
        return "empty"
    more = " ..." if len(data) > SHOWN else ""
    return f"{count(len(data))}: {data[:SHOWN].hex()}{more}"


def text(data: bytes) -> str:
    """A peer's UTF-8 text, quoted, everything escaped that is no text."""
    shown = printable(data[:SHOWN_TEXT].decode("utf-8", "backslashreplace"))
    return f'"{shown}"' + (" ..." if len(data) > SHOWN_TEXT else "")


def shorten(words: str) -> str:
    """A peer's words, escaped, and cut where they are many."""
    return printable(words[:SHOWN_TEXT]) + (" ..." if len(words) > SHOWN_TEXT else "")


def is_text(data: bytes) -> bool:
    """Whether the octets are something to read: UTF-8 without control characters, but line ends and tabs."""
    try:
        decoded = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return bool(decoded) and all(sign.isprintable() or sign in "\r\n\t" for sign in decoded)


def address(packed: bytes) -> str:
    """An IPv4 or IPv6 address of 4 or 16 octets."""
    return str(ip_address(packed))


def endpoint(host: str, port: int) -> str:
    """`address:port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def data(name: str, value: bytes) -> Item:
    """An item that holds octets."""
    return Item(name, octets(value))
