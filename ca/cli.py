"""`python -m ca`: options, environment variables, exit codes. Prose goes to stderr, results to stdout."""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from ca import request, store, window
from ca.authority import Action, Run, directories, ensure
from ca.errors import EXIT_CHECK, EXIT_ENVIRONMENT, EXIT_INTERRUPTED, EXIT_OK, CaError, RequestError
from ca.keys import KeyType
from ca.report import json_line, text_line
from ca.request import Defaults
from ca.store import Layout

DEFAULT_DIR = "ipsec/certs"
DEFAULT_NAMES = ("responder", "initiator")
DEFAULT_LOCK_TIMEOUT = 120
_TRUE, _FALSE = frozenset({"1", "yes", "true", "on"}), frozenset({"", "0", "no", "false", "off"})

EPILOG = f"""\
Every option can be given as an environment variable: CA_ and its name in capitals (--certs-dir is
CA_CERTS_DIR; CA_CHECK and CA_REPLACE take 1 or 0), the names as CA_NAMES, separated by spaces or commas.
The command line wins. An empty variable is as good as none.

files:
  CERTS_DIR/ca-cert.pem                    the certificate that the nodes trust      0644
  CERTS_DIR/NAME-cert.pem                  certificate, then its intermediates       0644
  AUTHORITY_KEYS_DIR/ca-key.pem            PKCS#8, no passphrase                     0600
  KEYS_DIR (with {{name}} filled in)/NAME-key.pem                                      0600
Other authorities have files of the same kind under their own names. Valid files are kept; what is expiring,
expired or not as asked is reissued; what this program cannot have made is not overwritten without --replace.

request (JSON, or @FILE): everything that names alone cannot say; every setting may be left out.
{request.REQUEST_HELP}

examples:
  python -m ca --dir ipsec/certs responder initiator
  python -m ca --certs-dir /pki/certs --authority-keys-dir /pki/ca --keys-dir '/pki/keys/{{name}}'
  a certificate of a CA that nobody trusts:
    --request '{{"authorities": {{"rogue": {{}}}},
                "certificates": {{"initiator": {{"issuer": "rogue"}}}}}}' responder
  expired:          --request '{{"certificates": {{"initiator": {{"days": -1}}}}}}' responder
  another's name:   --request '{{"certificates": {{"initiator": {{"identity": "mallory"}}}}}}' responder
  another's certificate without its key:
    --request '{{"certificates": {{"initiator": {{"key": "wrong"}}}}}}' responder

exit codes: 0 all is in order; 1 --check found something to do; 2 usage or request; 4 environment; 130 Ctrl-C
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}: see python -m ca --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m ca",
        description="Issue and renew the certificates of the IPsec lab. Safe to run again at any time.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "names",
        nargs="*",
        metavar="NAME",
        help="certificates with the defaults (default: responder initiator)",
    )
    add("--dir", metavar="DIR", help=f"where everything is that has no directory of its own ({DEFAULT_DIR})")
    add("--certs-dir", metavar="DIR", help="certificates")
    add("--authority-keys-dir", metavar="DIR", help="keys of the authorities")
    add("--keys-dir", metavar="DIR", help="keys of the certificates; {name} becomes the name")
    add("--request", metavar="JSON", help="see below; names on the command line are added to it")
    kinds = " ".join(kind.value for kind in KeyType)
    add("--key-type", metavar="TYPE", help=f"{kinds} (rsa4096)")
    add("--days", metavar="N", help=f"lifetime; -1: expired yesterday ({request.LEAF_DAYS})")
    add(
        "--not-before",
        metavar="WHEN",
        help="2030-01-31T12:00:00Z, or relative to now: -2d, +1h (5 minutes ago)",
    )
    add("--not-after", metavar="WHEN", help="instead of --days")
    add("--root-subject", metavar="NAME", help=f"subject of the root ({request.ROOT_SUBJECT})")
    add("--root-key-type", metavar="TYPE", help="(rsa4096)")
    add("--root-days", metavar="N", help=f"({request.ROOT_DAYS})")
    renew = f"renew so long before the end, at most a third of the lifetime ({window.RENEW_BEFORE.days})"
    add("--renew-days", metavar="N", help=renew)
    add("--lock-timeout", metavar="SECONDS", help=f"wait for another run ({DEFAULT_LOCK_TIMEOUT})")
    add(
        "--check", action="store_true", default=None, help="change nothing, exit 1 if something is to be done"
    )
    add("--replace", action="store_true", default=None, help="overwrite also files this program did not make")
    add("-o", "--output", metavar="FORMAT", help="text, or json: one object a line (text)")
    return parser


class Settings:
    """Options by name: the command line, then the environment; an error names where the value came from."""

    def __init__(self, arguments: Mapping[str, object], environment: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._environment = environment

    def text(self, name: str) -> str | None:
        value = self._arguments.get(name)
        if isinstance(value, str):
            return value
        return self._environment.get(f"CA_{name.upper()}") or None

    def source(self, name: str) -> str:
        if self._arguments.get(name) is not None:
            return "--" + name.replace("_", "-")
        return f"CA_{name.upper()}"

    def number(self, name: str) -> int | None:
        text = self.text(name)
        if text is None:
            return None
        if re.fullmatch(r"-?[0-9]{1,9}", text):
            return int(text)
        raise RequestError(f"{self.source(name)}: {text!r} is not a whole number: write digits")

    def positive(self, name: str, default: int, lowest: int = 1) -> int:
        value = self.number(name)
        if value is None:
            return default
        if lowest <= value <= window.MAX_DAYS:
            return value
        raise RequestError(
            f"{self.source(name)}: {value} is out of range: write {lowest} to {window.MAX_DAYS}"
        )

    def choice(self, name: str, choices: Sequence[str]) -> str:
        text = self.text(name) or choices[0]
        if text in choices:
            return text
        raise RequestError(f"{self.source(name)}: {text!r} is unknown: choose one of {', '.join(choices)}")

    def flag(self, name: str) -> bool:
        if self._arguments.get(name):
            return True
        text = self._environment.get(f"CA_{name.upper()}", "").lower()
        if text not in _TRUE | _FALSE:
            raise RequestError(f"CA_{name.upper()}: {text!r} is neither yes nor no: write 1 or 0")
        return text in _TRUE

    def names(self) -> list[str]:
        given = self._arguments.get("names")
        if isinstance(given, list) and given:
            return given
        return re.findall(r"[^\s,]+", self._environment.get("CA_NAMES", ""))


def _layout(settings: Settings) -> Layout:
    base = settings.text("dir") or DEFAULT_DIR
    return Layout(
        certs_dir=Path(settings.text("certs_dir") or base),
        authority_keys_dir=Path(settings.text("authority_keys_dir") or base),
        keys_dir=settings.text("keys_dir") or base,
    )


def _request(settings: Settings) -> request.Request:
    kinds = [KeyType.RSA4096.value, *(kind.value for kind in KeyType if kind is not KeyType.RSA4096)]
    defaults = Defaults(
        root_subject=settings.text("root_subject") or request.ROOT_SUBJECT,
        root_key_type=settings.choice("root_key_type", kinds),
        root_days=settings.positive("root_days", request.ROOT_DAYS),
        key_type=settings.choice("key_type", kinds),
        days=settings.number("days"),
        not_before=settings.text("not_before"),
        not_after=settings.text("not_after"),
    )
    text, names = settings.text("request"), settings.names()
    if text is None and not names:
        names = list(DEFAULT_NAMES)
    return request.parse(text, names, defaults)


def _tell(line: str) -> None:
    print(f"ca: {line}", file=sys.stderr, flush=True)


def _run(settings: Settings) -> int:
    output = settings.choice("output", ["text", "json"])
    check, layout, asked = settings.flag("check"), _layout(settings), _request(settings)
    replace = settings.flag("replace")
    renew_before = timedelta(days=settings.positive("renew_days", window.RENEW_BEFORE.days, lowest=0))
    timeout = settings.positive("lock_timeout", DEFAULT_LOCK_TIMEOUT, lowest=0)
    request.check_windows(asked, datetime.now(UTC))
    if check:
        return _report(asked, Run(layout, datetime.now(UTC), renew_before, _tell, replace, check), output)
    wanted = directories(asked, layout)
    for path, mode in wanted.items():
        store.ensure_directory(path, mode)
    with store.locked(tuple(wanted), timeout, _tell):
        # The clock is read under the lock: waiting for another run may take a while.
        return _report(asked, Run(layout, datetime.now(UTC), renew_before, _tell, replace), output)


def _report(asked: request.Request, run: Run, output: str) -> int:
    line = json_line if output == "json" else text_line
    todo = False
    for outcome in ensure(asked, run):
        todo |= outcome.action is not Action.KEPT or bool(outcome.fixed)
        print(line(outcome, run.check), flush=True)
    return EXIT_CHECK if run.check and todo else EXIT_OK


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run the command line and return its exit code; errors are one line on stderr."""
    try:
        parsed = vars(_parser().parse_args(arguments))
        return _run(Settings(parsed, os.environ if environment is None else environment))
    except CaError as error:
        _tell(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our lines has gone; what Python still holds must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ENVIRONMENT
    except KeyboardInterrupt:
        _tell("interrupted: nothing was left half-written, run again to complete")
        return EXIT_INTERRUPTED
