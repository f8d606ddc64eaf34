"""What is wrong with a command line or an environment, in words: pure functions that `cli` calls."""

import argparse
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError

from lab.errors import UsageError
from lab.text import did_you_mean

PREFIX = "IPSECLAB_"
#: Every variable that means something; the last ones are read by compose, by `image` and by nobody else.
VARIABLES = frozenset(
    PREFIX + name
    for name in (
        *("NAME", "BACKEND", "OUTPUT", "TIMEOUT", "QUIET", "VERBOSE", "NO_COLOR"),
        *("SUBNET", "KEY_TYPE", "KEEP", "KEEP_PKI", "JUNIT", "JOBS", "WIRE"),
        *("HOME", "RUNS", "SCENARIOS"),
        *("SESSION", "BASE", "STRONGSWAN_BASE"),
    )
)
#: Networks inside the tunnel; a lab's own network must not hide them.
INNER = (IPv4Network("10.1.0.0/16"), IPv4Network("10.2.0.0/16"))
EXAMPLE = "172.28.0.0/24"


def unknown_variables(environment: Iterable[str]) -> tuple[str, ...]:
    """A sentence for every variable that looks like ours and is not."""
    return tuple(
        f"{name} in the environment means nothing{did_you_mean(name, VARIABLES)}"
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in VARIABLES
    )


def option_names(parser: argparse.ArgumentParser) -> frozenset[str]:
    """The long options of a parser and of its verbs."""
    found = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                found |= option_names(verb)
    return frozenset(found)


def complaint(parser: argparse.ArgumentParser, message: str) -> str:
    """What argparse says, and the option that was probably meant."""
    _, found, rest = message.partition("unrecognized arguments: ")
    if not found:
        return message
    word = rest.split(" ")[0].partition("=")[0]
    if word.startswith("-"):
        return f"unknown option {word}{did_you_mean(word, option_names(parser))}"
    return f"unexpected argument {rest!r}"


def check_subnet(text: str) -> None:
    """Raises UsageError for what cannot be the network of a lab."""
    try:
        network = IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise UsageError(f"--subnet: {text!r} is no IPv4 network ({error}): write {EXAMPLE}") from None
    for inner in INNER:
        if network.overlaps(inner):
            raise UsageError(
                f"--subnet: {network} overlaps {inner}, a network inside the tunnel: write {EXAMPLE}"
            )
