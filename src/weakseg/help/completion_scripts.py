"""The scripts by which bash, zsh and fish complete commands, written from what the parsers know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from weakseg.help.completion import Completions, OptionWords, VerbWords

STUDY = "study"


def render_bash(known: Completions) -> str:
    """Return a script for bash 3.2 or newer; settings are completed section by section."""
    recipes, settings = " ".join(known.recipes), " ".join(_names(known.settings))
    sections = " ".join(dict.fromkeys(f"{name.split('.')[0]}." for name in _names(known.settings)))
    lines = [
        '# eval "$(weakseg --completion bash)"',
        "_weakseg() {",
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}",
        "    local first=2 words='' values='' dotted=0 recipe=0 IFS=$' \\t\\n'",
        '    if [[ $cur == "=" ]]; then cur=""',  # `=` parts words for readline: --out=x is three of them
        '    elif [[ $prev == "=" ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi',
        "    COMPREPLY=()",
        "    if (( COMP_CWORD == 1 )); then",
        f'        COMPREPLY=( $(compgen -W "{" ".join((*_verbs(known), *_names(known.general)))}" -- "$cur") )',
        "        return",
        "    fi",
        f"    if [[ $verb == {STUDY} ]]; then",
        "        if (( COMP_CWORD == 2 )); then",
        f'            COMPREPLY=( $(compgen -W "{" ".join(_studies(known))} --help" -- "$cur") )',
        "            return",
        "        fi",
        f'        verb="{STUDY} ${{COMP_WORDS[2]}}" first=3',
        "    fi",
        '    case "$verb" in',
        *(_bash_verb(verb) for verb in known.verbs),
        f"        {_patterns(known.general)}) ;;",
        "    esac",
        '    case "$verb $prev" in',
        *_bash_values(known),
        "        *) if (( dotted )); then",
        '            case "$prev" in',
        *(f"                {name}) values='{' '.join(values)}' ;;" for name, values in _valued(known.settings)),
        f"                {_patterns(option for option in known.settings if not option.values)}) return ;;",
        "            esac",
        "        fi ;;",
        "    esac",
        "    if [[ -n $values ]]; then",
        '        COMPREPLY=( $(compgen -W "$values" -- "$cur") )',
        "    elif [[ $cur == --*.* ]] && (( dotted )); then",
        f'        COMPREPLY=( $(compgen -W "{settings}" -- "$cur") )',
        "    elif [[ $cur == -* ]]; then",
        '        COMPREPLY=( $(compgen -W "$words" -- "$cur") )',
        "        if (( dotted )); then",
        f'            COMPREPLY+=( $(compgen -W "{sections}" -- "$cur") )',
        "            compopt -o nospace 2>/dev/null",
        "        fi",
        "    elif (( recipe && COMP_CWORD == first )); then",
        f'        COMPREPLY=( $(compgen -W "{recipes}" -- "$cur") )',
        "        IFS=$'\\n'",
        '        COMPREPLY+=( $(compgen -f -- "$cur") )',
        "        compopt -o filenames 2>/dev/null",
        "    fi",
        "}",
        "complete -o bashdefault -o default -F _weakseg weakseg",
    ]
    return "\n".join((*lines, ""))


def _bash_verb(verb: VerbWords) -> str:
    sets = "".join((" dotted=1" * verb.takes_settings, " recipe=1" * verb.takes_recipe))
    return f'        "{verb.name}") words="{" ".join(_names(verb.options))}"{sets} ;;'


def _bash_values(known: Completions) -> Iterable[str]:
    for verb in known.verbs:
        for option in verb.options:
            if option.name == "--help" and verb.takes_settings:
                yield f"        \"{verb.name} --help\") values='{' '.join(known.topics)}' ;;"
            elif option.values:
                yield f"        \"{verb.name} {option.name}\") values='{' '.join(option.values)}' ;;"
            elif option.takes_value:
                yield f'        "{verb.name} {option.name}") return ;;'


def render_zsh(known: Completions) -> str:
    """Return a script for zsh; it is evaluated after `compinit`, or lies as `_weakseg` in a folder of `fpath`."""
    lines = [
        "#compdef weakseg",
        '# eval "$(weakseg --completion zsh)", after compinit',
        "_weakseg() {",
        "    local verb=$words[2] prev=$words[CURRENT-1] dotted=0 recipe=0 first=3",
        "    local -a own settings",
        "    if (( CURRENT == 2 )); then",
        f"        own=({_described((verb.name, verb.text) for verb in known.verbs if ' ' not in verb.name)})",
        "        _describe -t verbs 'verb' own",
        f"        own=({_described((option.name, option.text) for option in known.general)})",
        "        _describe -o 'option' own",
        "        return",
        "    fi",
        f"    if [[ $verb == {STUDY} ]]; then",
        "        if (( CURRENT == 3 )); then",
        f"            own=({_described((v.name.split()[1], v.text) for v in known.verbs if ' ' in v.name)})",
        "            _describe -t studies 'study' own",
        "            return",
        "        fi",
        '        verb="study $words[3]" first=4',
        "    fi",
        '    case "$verb" in',
    ]
    for verb in known.verbs:
        sets = "".join((" dotted=1" * verb.takes_settings, " recipe=1" * verb.takes_recipe))
        lines.append(f'        "{verb.name}") own=({_described((o.name, o.text) for o in verb.options)}){sets} ;;')
    lines += ["    esac", '    case "$verb $prev" in']
    for verb in known.verbs:
        for option in verb.options:
            values = known.topics if option.name == "--help" and verb.takes_settings else option.values
            if values:
                lines.append(f'        "{verb.name} {option.name}") compadd -- {" ".join(values)}; return ;;')
            elif option.takes_value:
                lines.append(f'        "{verb.name} {option.name}") _files; return ;;')
    lines += [
        "    esac",
        "    if (( dotted )); then",
        '        case "$prev" in',
        *(f"            {name}) compadd -- {' '.join(values)}; return ;;" for name, values in _valued(known.settings)),
        f"            {_patterns(option for option in known.settings if not option.values)}) _files; return ;;",
        "        esac",
        f"        settings=({_described((option.name, option.text) for option in known.settings)})",
        "    fi",
        "    if [[ $PREFIX == -* ]]; then",
        "        _describe -o 'option' own",
        "        (( dotted )) && _describe -o 'setting' settings",
        "        return",
        "    fi",
        "    if (( recipe && CURRENT == first )); then",
        f"        own=({_described(known.recipes.items())})",
        "        _describe -t recipes 'recipe' own",
        "    fi",
        "    _files",
        "}",
        'if [[ $funcstack[1] == _weakseg ]]; then _weakseg "$@"; else compdef _weakseg weakseg; fi',
    ]
    return "\n".join((*lines, ""))


def render_fish(known: Completions) -> str:
    """Return a script for fish."""
    lines = [
        "# weakseg --completion fish > ~/.config/fish/completions/weakseg.fish",
        "function __weakseg_is",
        "    set -l given (commandline -opc)",
        "    for place in (seq (count $argv))",
        "        set -l word (math $place + 1)",
        '        test "$given[$word]" = "$argv[$place]"; or return 1',
        "    end",
        "end",
        "function __weakseg_has",
        "    test (count (commandline -opc)) -eq $argv[1]",
        "end",
        "function __weakseg_takes_settings",
        *(f"    __weakseg_is {verb.name}; and return 0" for verb in known.verbs if verb.takes_settings),
        "    return 1",
        "end",
        "complete -c weakseg -n '__weakseg_has 1' -f",
    ]
    for verb in known.verbs:
        first, _, second = verb.name.partition(" ")
        when = f"__weakseg_has 2; and __weakseg_is {first}" if second else "__weakseg_has 1"
        lines.append(f"complete -c weakseg -n '{when}' -f -a {second or first} -d '{verb.text}'")
        for option in verb.options:
            values = known.topics if option.name == "--help" and verb.takes_settings else option.values
            lines.append(_fish_option(option, f"__weakseg_is {verb.name}", values))
        if verb.takes_recipe:
            count = 3 if second else 2
            for name, text in known.recipes.items():
                when = f"__weakseg_has {count}; and __weakseg_is {verb.name}"
                lines.append(f"complete -c weakseg -n '{when}' -a {name} -d '{text}'")
    lines += [_fish_option(option, "__weakseg_has 1", option.values) for option in known.general]
    lines += [_fish_option(option, "__weakseg_takes_settings", option.values) for option in known.settings]
    return "\n".join((*lines, ""))


def _fish_option(option: OptionWords, when: str, values: tuple[str, ...]) -> str:
    takes = f" -x -a '{' '.join(values)}'" if values else " -r -F" if option.takes_value else ""
    return f"complete -c weakseg -n '{when}' -l {option.name.removeprefix('--')}{takes} -d '{option.text}'"


RENDERERS: Mapping[str, Callable[[Completions], str]] = MappingProxyType(
    {"bash": render_bash, "zsh": render_zsh, "fish": render_fish}
)
"""What writes a shell's script."""


def _names(options: Iterable[OptionWords]) -> tuple[str, ...]:
    return tuple(option.name for option in options)


def _verbs(known: Completions) -> tuple[str, ...]:
    return tuple(verb.name for verb in known.verbs if " " not in verb.name)


def _studies(known: Completions) -> tuple[str, ...]:
    return tuple(verb.name.split()[1] for verb in known.verbs if " " in verb.name)


def _valued(options: Iterable[OptionWords]) -> Iterable[tuple[str, tuple[str, ...]]]:
    return ((option.name, option.values) for option in options if option.values)


def _patterns(options: Iterable[OptionWords]) -> str:
    return "|".join(_names(options))


def _described(rows: Iterable[tuple[str, str]]) -> str:
    """Write names with texts as an array of zsh, in which a colon parts them."""
    return " ".join(f"'{name.replace(':', chr(92) + ':')}:{text}'" for name, text in rows)
