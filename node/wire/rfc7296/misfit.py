"""A value of ours that the format has no octets for: the one error of the writers."""


class Misfit(ValueError):
    """`path` names the element; the codec makes a LocalMisuse of it."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")


class TooLarge(Misfit):
    """A message that no datagram, or not as many fragments as there may be, can hold."""
