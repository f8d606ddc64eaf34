"""Octets that cannot be read: the one error inside the decoder, which becomes `Decoded.problem`."""


class Unreadable(Exception):
    """What is wrong, in a sentence for people; never holds a secret."""
