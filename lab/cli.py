"""`ipseclab`: options, their environment twins, exit codes. Data on stdout, everything else on stderr."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lab import output, usage
from lab.backends.choose import NAMES as BACKENDS
from lab.commands import (
    about,
    check,
    completion,
    decode,
    doctor,
    fault,
    judge,
    ladder,
    lint,
    report,
    show,
    up,
)
from lab.commands.context import DEFAULT_NAME, Context
from lab.completion import SHELLS
from lab.console import Console, make_console, stdout_style
from lab.doctor.examine import head
from lab.errors import EnvironmentNotReady, ExitCode, LabError, TimedOut, UsageError
from lab.text import did_you_mean, listing, printable

Verb = Callable[[Context, argparse.Namespace], int]

VERBS: dict[str, Verb] = {
    "up": up.up,
    "down": up.down,
    "status": show.status,
    "logs": show.logs,
    "events": show.logs,
    "ladder": ladder.ladder,
    "decode": decode.decode,
    "report": report.report,
    "fault": fault.fault,
    "exec": show.execute,
    "shell": show.shell,
    "check": check.check,
    "run": judge.run,
    "scenarios": judge.scenarios,
    "lint": lint.lint,
    "doctor": doctor.doctor,
    "completion": completion.completion,
    "image": about.image,
    "version": about.version,
}
ALIASES = {
    "deploy": "up",
    "start": "up",
    "destroy": "down",
    "stop": "down",
    "clean": "down",
    "inspect": "status",
    "ps": "status",
    "ls": "status",
    "netem": "fault",
    "tc": "fault",
    "connect": "shell",
    "test": "run",
    "validate": "lint",
    "check-env": "doctor",
}
#: Verbs that make labs: where the environment lets them down, the doctor speaks first.
MAKING = ("up", "run")
#: Scenarios at the same time. Each of them starts processes by the dozen.
MAX_JOBS = 64
IMAGES = ("node", "strongswan")
KEY_TYPES = (
    "rsa4096",
    "rsa3072",
    "rsa2048",
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "ed25519",
    "ed448",
)

EPILOG = """\
verbs:
  up [SCENARIO]        make a lab, show the call flow, end in a summary (aliases: deploy, start)
  down                 stop and remove it; nothing there is fine (destroy, stop, clean)
  status               nodes, tunnels and counters (inspect, ps, ls)
  logs [NODE ...]      the nodes' events, interleaved by time; -f follows
  events [NODE ...]    the same as JSON, one object a line
  ladder [RUN|LAB]     who sent what to whom; --svg FILE draws a picture
  decode [RUN|FILE]    every message on the wire as a tree, opened with the run's keys
  report [RUN|LAB]     a run as one HTML page
  fault show|set|reset what the wire node does to datagrams; `fault --help` (netem, tc)
  exec NODE -- CMD     run a command at a node; its exit code is passed through
  shell NODE           a shell at a node (connect)
  check [SCENARIO]     judge the lab that is up, as it is now
  run SCENARIO|all ... up, judge, keep the evidence, down (test); --jobs N side by side
  scenarios            what can be run
  lint FILE ...        check scenarios and node configurations, nothing is run (validate)
  doctor               try what a lab needs, name the fix for what is missing (check-env)
  completion SHELL     completion for bash, zsh or fish: source <(ipseclab completion bash)
  image [strongswan]   make the node image, or that of a peer
  version

exit codes:
    0  ok, also where there was nothing to do     1  a check failed, the lab did not do what it should
    2  usage, or a scenario that does not fit     3  reserved: warnings with --strict
    4  environment: no engine, no image, no room  5  no such lab or node
  124  --timeout                                130  Ctrl-C, after cleaning up
  exec and shell pass the command's own; 125 it could not be run, 126 not executable, 127 not found

Every option has an environment variable: --name is IPSECLAB_NAME, --key-type is IPSECLAB_KEY_TYPE, and so
on; the command line wins. NO_COLOR and FORCE_COLOR are honoured. IPSECLAB_HOME is where the netns and
process backends keep their labs, IPSECLAB_RUNS where `run` keeps evidence, IPSECLAB_SCENARIOS where scenarios
are looked for.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{usage.complaint(self, message)}: see `ipseclab --help`")


def _env(name: str, default: str | None = None) -> str | None:
    return os.environ.get(f"IPSECLAB_{name}") or default


def _globals() -> _Parser:
    """Options of every verb; they may stand before it or behind it."""
    parser = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    add = parser.add_argument
    add("-n", "--name", metavar="NAME", help=f"the lab ({DEFAULT_NAME})")
    add("-b", "--backend", metavar="WHERE", help=f"{', '.join(BACKENDS)} (auto)")
    add("-o", "--output", metavar="FORM", help="table or json (table)")
    add("--timeout", metavar="SECONDS", help="give up after so long, exit code 124")
    add("-q", "--quiet", action="store_true", help="errors only")
    add("-v", "--verbose", action="store_true", help="more")
    add("--no-color", action="store_true", help="no colour")
    return parser


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, for whoever reads it from outside."""
    return _parser()


def _parser() -> _Parser:
    shared = _globals()
    parser = _Parser(
        prog="ipseclab",
        description="Bring up an IPsec/IKEv2 lab, look at it, break it on purpose.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)
    made = {
        verb: verbs.add_parser(verb, parents=[shared], description=act.__doc__, allow_abbrev=False)
        for verb, act in VERBS.items()
    }
    _making_options(made)
    for verb in ("logs", "events"):
        made[verb].add_argument("nodes", nargs="*", metavar="NODE", help="only these")
        made[verb].add_argument("-f", "--follow", action="store_true", help="go on as they tell more")
        made[verb].add_argument("--tail", type=_count, metavar="N", help="only the last N lines")
        made[verb].set_defaults(output_lines=verb == "events")
    for verb in ("exec", "shell"):
        made[verb].add_argument("node", metavar="NODE")
    made["exec"].add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD ...")
    made["ladder"].add_argument("target", nargs="?", metavar="RUN|LAB", help="a run's directory, or a lab")
    made["ladder"].add_argument("nodes", nargs="*", metavar="NODE", help="only these, from left to right")
    made["ladder"].add_argument("--svg", type=Path, metavar="FILE", help="draw a picture instead")
    made["ladder"].add_argument("--ascii", action="store_true", help="without line drawing characters")
    _decode_options(made["decode"])
    report.options(made["report"])
    fault.options(made["fault"])
    made["image"].add_argument("which", nargs="?", choices=IMAGES, default=IMAGES[0], metavar="WHICH")
    made["image"].add_argument(
        "--newest", action="store_true", help="of a peer: on the newest Debian, made here if need be"
    )
    made["completion"].add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    made["lint"].add_argument("files", nargs="+", metavar="FILE", help="or directories")
    made["lint"].add_argument("--node", action="store_true", help="they are configurations of nodes")
    return parser


def _decode_options(decoding: _Parser) -> None:
    add = decoding.add_argument
    add("target", nargs="?", metavar="RUN|LAB|FILE", help="a run's directory, a lab, or a pcapng file")
    add("numbers", nargs="*", metavar="NUMBER", help="only these packets: 3, or 3-7")
    add("--keys", type=Path, action="append", default=[], metavar="FILE", help="a key log, may be repeated")
    add("--only", choices=decode.KINDS, help="only messages of this kind")
    add("--brief", action="store_true", help="one line each")
    add("--hex", action="store_true", help="with the octets")
    add("--port", type=_port, action="append", default=[], metavar="PORT", help="UDP port of the lab (8000)")


def _making_options(made: dict[str, _Parser]) -> None:
    made["up"].add_argument("scenario", nargs="?", metavar="SCENARIO", help="name or file (hello)")
    made["check"].add_argument("scenario", nargs="?", metavar="SCENARIO", help="file of the lab's scenario")
    made["run"].add_argument("scenarios", nargs="+", metavar="SCENARIO|all", help="names or files, or all")
    made["run"].add_argument("--list", action="store_true", help="name them, run nothing")
    made["run"].add_argument(
        "--jobs", type=_jobs, default=_env("JOBS", "1"), metavar="N", help="so many at the same time (1)"
    )
    for verb in (*MAKING, "doctor"):
        made[verb].add_argument(
            "--subnet",
            default=_env("SUBNET"),
            metavar="CIDR",
            help="of the network (Docker chooses; netns: 172.28.0.0/16)",
        )
    for verb in MAKING:
        kinds = "key type of every certificate that does not name its own: " + ", ".join(KEY_TYPES)
        made[verb].add_argument("--key-type", default=_env("KEY_TYPE"), metavar="TYPE", help=kinds)
    made["up"].add_argument(
        "--wire",
        action="store_true",
        default=bool(_env("WIRE")),
        help="with a wire node between the nodes, for `fault`",
    )
    made["run"].add_argument(
        "--keep", action="store_true", default=bool(_env("KEEP")), help="leave the lab up"
    )
    junit_file = _env("JUNIT")
    for verb in ("run", "check"):
        made[verb].add_argument(
            "--junit",
            type=Path,
            default=Path(junit_file) if junit_file else None,
            metavar="FILE",
            help="write the verdicts as JUnit XML",
        )
    made["down"].add_argument("--all", action="store_true", help="every lab that is ours")
    made["down"].add_argument(
        "--keep-pki", action="store_true", default=bool(_env("KEEP_PKI")), help="keep the certificates"
    )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines")
    return int(text)


def _jobs(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) <= MAX_JOBS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of scenarios from 1 to {MAX_JOBS}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text!r} is no UDP port")
    return int(text)


def _choice(value: str, known: Sequence[str], what: str) -> str:
    if value not in known:
        variable = what.removeprefix("--").replace("-", "_").upper()
        where = f"{what} (from IPSECLAB_{variable})" if _env(variable) == value else what
        raise UsageError(
            f"{where}: {value!r} is unknown{did_you_mean(value, known)}: choose one of {listing(known)}"
        )
    return value


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        where = "--timeout (from IPSECLAB_TIMEOUT)" if _env("TIMEOUT") == text else "--timeout"
        raise UsageError(f"{where}: {text!r} is not a number of seconds: write 60")
    return seconds


def _words(arguments: Sequence[str]) -> list[str]:
    """Aliases replaced, and an unknown verb refused with a suggestion."""
    words = list(arguments)
    with_value = {"-n", "--name", "-b", "--backend", "-o", "--output", "--timeout"}
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in with_value else 1
    if at < len(words):
        words[at] = ALIASES.get(words[at], words[at])
        if words[at] not in VERBS:
            raise UsageError(
                f"unknown verb {words[at]!r}{did_you_mean(words[at], [*VERBS, *ALIASES])}: see "
                "`ipseclab --help`"
            )
    return words


def _context(options: argparse.Namespace) -> Context:
    given = vars(options)
    no_colour = given.get("no_color", bool(_env("NO_COLOR")))
    quiet, verbose = given.get("quiet", bool(_env("QUIET"))), given.get("verbose", bool(_env("VERBOSE")))
    form = given.get("output") or _env("OUTPUT", "table") or "table"
    if getattr(options, "key_type", None):
        _choice(options.key_type, KEY_TYPES, "--key-type")
    if getattr(options, "subnet", None):
        usage.check_subnet(options.subnet)
    console = make_console(-1 if quiet else int(verbose), no_colour)
    for sentence in usage.unknown_variables(os.environ):
        console.warning(sentence)
    return Context(
        name=given.get("name") or _env("NAME"),
        backend=_choice(given.get("backend") or _env("BACKEND", "auto") or "auto", BACKENDS, "--backend"),
        json=_choice(form, ("table", "json"), "--output") == "json",
        console=console,
        style=stdout_style(no_colour),
        timeout=_seconds(given.get("timeout") or _env("TIMEOUT")),
    )


def _head_of_failure(console: Console, options: argparse.Namespace) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    backend = getattr(options, "backend", None) or _env("BACKEND", "auto") or "auto"
    try:
        for line in head(backend, console.style, options.subnet) if console.verbosity >= 0 else ():
            console.line(line)
    except KeyboardInterrupt:
        console.line("  doctor    interrupted")


def _on_alarm(_number: int, _frame: FrameType | None) -> None:
    raise TimedOut("the time given by --timeout is over")


def _on_terminate(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    console, wants_json = make_console(0, False), False
    options: argparse.Namespace | None = None
    try:
        options = _parser().parse_args(_words(sys.argv[1:] if arguments is None else arguments))
        if options.verb is None:
            _parser().print_help(sys.stderr)
            return ExitCode.USAGE
        if options.verb == "exec" and options.command in ([], ["--"]):
            raise UsageError("exec: no command: write `ipseclab exec NODE -- CMD`")
        context = _context(options)
        console, wants_json = context.console, context.json
        signal.signal(signal.SIGTERM, _on_terminate)
        if context.timeout is not None:
            signal.signal(signal.SIGALRM, _on_alarm)
            signal.setitimer(signal.ITIMER_REAL, context.timeout)
        return int(VERBS[options.verb](context, options))
    except LabError as error:
        if isinstance(error, EnvironmentNotReady) and options is not None and options.verb in MAKING:
            _head_of_failure(console, options)
        text = "\n".join(printable(line) for line in str(error).splitlines())
        console.error(text)
        if wants_json:
            output.print_json("error", {"error": text, "exit_code": int(error.exit_code)})
        return int(error.exit_code)
    except KeyboardInterrupt:
        console.error("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our lines has gone; what Python still holds must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
