"""Shell completion out of the argparse tree: verbs with their aliases, options, values that are known.

Own text instead of a generator: aliases are not in the tree, and scenario names come from the directory as it
is when Tab is pressed, by a glob of the shell that takes no time. Node names are those of the scenarios.
"""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SHELLS = ("bash", "zsh", "fish")
#: Metavars whose values are files or directories.
_FILES = ("FILE", "RUN|LAB", "RUN|LAB|FILE")
_SCENARIOS = ("SCENARIO", "SCENARIO|all")


@dataclass(frozen=True, slots=True)
class Value:
    """What may stand in a place: known words, scenario names, file names; nothing of these is free text."""

    words: tuple[str, ...] = ()
    scenarios: bool = False
    files: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """An option by all its spellings; `value` is None where it takes none."""

    flags: tuple[str, ...]
    help: str
    value: Value | None


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb by all its names, with its own options and what its arguments may be."""

    names: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    argument: Value


@dataclass(frozen=True, slots=True)
class Tree:
    """The command line. `options` are those that stand before a verb; `directory` has the scenarios."""

    options: tuple[Option, ...]
    verbs: tuple[Verb, ...]
    directory: str


def read(
    parser: argparse.ArgumentParser,
    aliases: Mapping[str, str],
    known: Mapping[str, Sequence[str]],
    directory: str,
) -> Tree:
    """The tree of `parser`. `known` has the words of a metavar."""
    verbs = []
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        for name, sub in action.choices.items():
            names = (name, *(alias for alias, verb in aliases.items() if verb == name))
            first = " ".join((sub.description or "").split()).partition(". ")[0].rstrip(".")
            verbs.append(Verb(names, first, _options(sub, known), _argument(sub, known)))
    return Tree(_options(parser, known), tuple(verbs), directory)


def _options(parser: argparse.ArgumentParser, known: Mapping[str, Sequence[str]]) -> tuple[Option, ...]:
    return tuple(
        Option(
            tuple(action.option_strings),
            (action.help or "").replace("%%", "%"),
            None if action.nargs == 0 else _value(action, known),
        )
        for action in parser._actions
        if action.option_strings
    )


def _argument(parser: argparse.ArgumentParser, known: Mapping[str, Sequence[str]]) -> Value:
    for action in parser._actions:
        if not action.option_strings:
            return _value(action, known)
    return Value()


def _value(action: argparse.Action, known: Mapping[str, Sequence[str]]) -> Value:
    metavar = str(action.metavar)
    words = tuple(map(str, action.choices)) if action.choices else tuple(known.get(metavar, ()))
    return Value(words, metavar in _SCENARIOS, metavar in _FILES)


def _all_options(tree: Tree) -> list[Option]:
    """Every option once: an option means the same wherever it is allowed."""
    options = [*tree.options, *(option for verb in tree.verbs for option in verb.options)]
    return list({option.flags: option for option in options}.values())


def _taking(tree: Tree) -> list[str]:
    return [flag for option in _all_options(tree) if option.value is not None for flag in option.flags]


def _flags(options: Sequence[Option]) -> list[str]:
    return [flag for option in options for flag in option.flags]


def script(shell: str, tree: Tree) -> str:
    """The script for one of SHELLS."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](tree)


_BASH_HEAD = """\
# Completion of ipseclab for bash:  source <(ipseclab completion bash)
_ipseclab_words() {
    local word
    for word in "$@"; do
        if [[ $word == "$cur"* ]]; then COMPREPLY+=("$word"); fi
    done
}
_ipseclab_files() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); }
_ipseclab_scenarios() {
    local directory=%(directory)s file
    for file in "${IPSECLAB_SCENARIOS:-$directory}"/*.yaml; do
        file=${file##*/}
        if [[ $file != '*.yaml' ]]; then _ipseclab_words "${file%%.yaml}"; fi
    done
}
_ipseclab() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            %(taking)s) i=$((i + 1)) ;;
            -*) ;;
            *) verb=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $prev in
"""


def _bash(tree: Tree) -> str:
    head = {"directory": shlex.quote(tree.directory), "taking": "|".join(_taking(tree))}
    lines = [(_BASH_HEAD % head).rstrip("\n")]
    lines += [
        f"        {'|'.join(option.flags)}) {_bash_value(option.value)}; return ;;"
        for option in _all_options(tree)
        if option.value is not None
    ]
    names = [name for verb in tree.verbs for name in verb.names]
    lines += ["    esac", "    case $verb in"]
    lines.append(f"        '') {_bash_choice(tree.options, Value(tuple(names)))} ;;")
    for verb in tree.verbs:
        lines.append(f"        {'|'.join(verb.names)}) {_bash_choice(verb.options, verb.argument)} ;;")
    return "\n".join([*lines, "    esac", "}", "complete -F _ipseclab ipseclab", ""])


def _bash_choice(options: Sequence[Option], argument: Value) -> str:
    flags = shlex.join(_flags(options))
    return f"if [[ $cur == -* ]]; then _ipseclab_words {flags}; else {_bash_value(argument)}; fi"


def _bash_value(value: Value) -> str:
    words = shlex.join(value.words)
    if value.scenarios:
        return (f"_ipseclab_words {words}; " if words else "") + "_ipseclab_scenarios"
    if value.files:
        return "_ipseclab_files"
    return f"_ipseclab_words {words}" if words else ":"


_ZSH_HEAD = """\
#compdef ipseclab
# Completion of ipseclab for zsh:  source <(ipseclab completion zsh), after compinit
_ipseclab_scenarios() {
    local directory=%(directory)s
    local -a found
    found=(${IPSECLAB_SCENARIOS:-$directory}/*.yaml(N:t:r))
    compadd -- "$@" $found
}
_ipseclab() {
    local cur=$words[CURRENT] prev=$words[CURRENT-1] verb= i
    local -a listed
    for ((i = 2; i < CURRENT; i++)); do
        case $words[i] in
            %(taking)s) i=$((i + 1)) ;;
            -*) ;;
            *) verb=$words[i]; break ;;
        esac
    done
    case $prev in
"""


def _zsh(tree: Tree) -> str:
    head = {"directory": shlex.quote(tree.directory), "taking": "|".join(_taking(tree))}
    lines = [(_ZSH_HEAD % head).rstrip("\n")]
    lines += [
        f"        {'|'.join(option.flags)}) {_zsh_value(option.value)}; return ;;"
        for option in _all_options(tree)
        if option.value is not None
    ]
    lines += ["    esac", "    case $verb in", "        '')", "            listed=("]
    for verb in tree.verbs:
        lines += [f"                {shlex.quote(_colon(name, verb.help))}" for name in verb.names]
    lines += ["            )", f"            if [[ $cur == -* ]]; then {_zsh_options(tree.options)}"]
    lines += ["            else _describe verb listed; fi ;;"]
    for verb in tree.verbs:
        lines.append(f"        {'|'.join(verb.names)})")
        lines.append(f"            if [[ $cur == -* ]]; then {_zsh_options(verb.options)}")
        lines.append(f"            else {_zsh_value(verb.argument)}; fi ;;")
    lines += ["    esac", "}", "compdef _ipseclab ipseclab", ""]
    return "\n".join(lines)


def _colon(name: str, text: str) -> str:
    return name.replace(":", "\\:") + ":" + text.replace(":", "\\:")


def _zsh_options(options: Sequence[Option]) -> str:
    listed = [shlex.quote(_colon(flag, option.help)) for option in options for flag in option.flags]
    return f"listed=({' '.join(listed)}); _describe -o option listed"


def _zsh_value(value: Value) -> str:
    words = shlex.join(value.words)
    if value.scenarios:
        return f"_ipseclab_scenarios {words}".rstrip()
    if value.files:
        return "_files"
    return f"compadd -- {words}" if words else ":"


_FISH_HEAD = """\
# Completion of ipseclab for fish:  ipseclab completion fish | source
function __ipseclab_scenarios
    set -l directory %(directory)s
    set -q IPSECLAB_SCENARIOS; and set directory $IPSECLAB_SCENARIOS
    for file in $directory/*.yaml
        string replace -r '\\.yaml$' '' -- (string replace -r '.*/' '' -- $file)
    end
end
function __ipseclab_verb
    set -l words (commandline -opc)
    set -e words[1]
    set -l skip 0
    for word in $words
        if test $skip = 1
            set skip 0
        else if contains -- $word %(taking)s
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
            return
        end
    end
end
function __ipseclab_is
    contains -- (__ipseclab_verb) $argv
end
complete -c ipseclab -e
complete -c ipseclab -f
"""


def _fish(tree: Tree) -> str:
    head = {"directory": _fish_quote(tree.directory), "taking": " ".join(_taking(tree))}
    lines = [(_FISH_HEAD % head).rstrip("\n")]
    none = "-n 'test -z (__ipseclab_verb)'".replace("(__ipseclab_verb)", '"$(__ipseclab_verb)"')
    for verb in tree.verbs:
        for name in verb.names:
            lines.append(f"complete -c ipseclab {none} -a {name} -d {_fish_quote(verb.help)}")
    lines += [f"complete -c ipseclab {none} {_fish_option(option)}" for option in tree.options]
    for verb in tree.verbs:
        when = f"-n '__ipseclab_is {' '.join(verb.names)}'"
        lines += [f"complete -c ipseclab {when} {_fish_option(option)}" for option in verb.options]
        if value := _fish_value(verb.argument):
            lines.append(f"complete -c ipseclab {when} {value}")
    return "\n".join([*lines, ""])


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fish_option(option: Option) -> str:
    words = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    words.append(f"-d {_fish_quote(option.help)}")
    if option.value is not None:
        words += ["-r" if option.value.files else "-x", _fish_value(option.value)]
    return " ".join(word for word in words if word)


def _fish_value(value: Value) -> str:
    listed = [*value.words, *(["(__ipseclab_scenarios)"] if value.scenarios else [])]
    if value.files:
        return "-F"
    return f'-a "{" ".join(listed)}"' if listed else ""
