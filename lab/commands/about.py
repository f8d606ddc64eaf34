"""`ipseclab image` and `ipseclab version`."""

import argparse
import sys

from lab import __version__, output
from lab.commands.context import Context
from lab.errors import EnvironmentNotReady, ExitCode, UsageError


def image(context: Context, options: argparse.Namespace) -> int:
    """Make the node image, or that of a peer, where it is not there for these sources."""
    from lab import images
    from lab.peers import image as peer

    def say(line: str) -> None:
        context.console.line(f"image: {line}")

    if options.newest and options.which != "strongswan":
        raise UsageError("--newest is for the image of a peer: write `image strongswan --newest`")
    try:
        if options.which == "strongswan":
            found = peer.ensure_image(say, newest=options.newest)
        else:
            found = images.ensure_image(say)
    except images.ImageError as error:
        raise EnvironmentNotReady(str(error)) from error
    if context.json:
        content = {
            "reference": found.reference,
            "id": found.image_id,
            "digest": found.digest,
            "built": found.built,
        }
        output.print_json("image", content)
    else:
        print(
            f"{found.reference} {'built' if found.built else 'up to date'} "
            f"({found.image_id.removeprefix('sha256:')[:12]})"
        )
    return ExitCode.OK


def version(context: Context, options: argparse.Namespace) -> int:
    """The version of the lab and of what it runs on."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    if context.json:
        output.print_json("version", {"version": __version__, "python": python, "platform": sys.platform})
    else:
        print(f"ipseclab {__version__} (Python {python}, {sys.platform})")
    return ExitCode.OK
