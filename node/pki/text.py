"""Text from a peer, made safe to print: capped in length, control characters escaped."""

#: Characters of peer text in one message: enough for every name of a sane certificate, short enough for a log
#: line.
MAX_PEER_TEXT = 256


def printable(text: str, limit: int = MAX_PEER_TEXT) -> str:
    """`text` with everything that is not printable as `\\x..` or `\\u....`, and cut with `...` after `limit`
    characters."""
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(_escaped(character) for character in shown)
    return shown + "..." if len(text) > limit else shown


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
