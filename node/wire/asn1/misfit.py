"""Values that do not fit the module: the one error of the conversions."""

from node.errors import DropReason


class Misfit(ValueError):
    """A value outside the module, found in an element of a peer or in a payload of ours.

    The codec makes a DecodeError of it when it reads and a LocalMisuse when it writes.
    """

    def __init__(self, path: str, detail: str, reason: DropReason = DropReason.MALFORMED) -> None:
        self.path, self.detail, self.reason = path, detail, reason
        super().__init__(f"{path}: {detail}")


def within(value: int, highest: int, path: str, lowest: int = 0) -> int:
    """`value`, if it lies between `lowest` and `highest`. Raises Misfit."""
    if not lowest <= value <= highest:
        raise Misfit(path, f"not between {lowest} and {highest}")
    return value


def not_canonical(path: str, detail: str) -> Misfit:
    """The error for an element that says what we would write in another way."""
    return Misfit(path, detail, DropReason.NOT_CANONICAL)
