"""Errors in what was configured: each names the key, the value and what is allowed, in one line."""

import difflib
from collections.abc import Iterable


class ConfigError(Exception):
    """A configuration, or a fault in it, that cannot be.

    `path` leads to it: keys and, in lists, indices from 0. The text says the same for people, with numbers
    from 1.
    """

    def __init__(self, path: Iterable[str | int], problem: str) -> None:
        self.path, self.problem = tuple(path), problem
        super().__init__(f"{place(self.path)}: {problem}" if self.path else problem)

    def below(self, *path: str | int) -> "ConfigError":
        """The same, seen from further out."""
        return ConfigError((*path, *self.path), self.problem)


def place(path: Iterable[str | int]) -> str:
    """`fault 2: match` for ("faults", 1, "match")."""
    words: list[str] = []
    for part in path:
        if isinstance(part, int):
            words[-1:] = [f"{words[-1].removesuffix('s')} {part + 1}" if words else str(part + 1)]
        else:
            words.append(part)
    return ": ".join(words)


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean x?)`, or what is allowed where nothing is close."""
    spelled = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), spelled, n=1, cutoff=0.7)
    if close:
        return f" (did you mean {spelled[close[0]]}?)"
    return f"; allowed are {', '.join(spelled.values())}"
