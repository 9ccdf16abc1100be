# bash completion for mailorigin(1).  Commands and options are those that
# the command itself names, so this can't fall behind it.
# shellcheck shell=bash

_mailorigin_words()
{
    # the first words of a --help's indented lines: "$1" commands or options
    "${COMP_WORDS[0]}" ${2:+"$2"} --help 2>/dev/null |
        if [ "$1" = commands ]; then
            awk '/^Commands:/ { on = 1; next } on && !NF { exit }
                on { print $1 }'
        else
            awk '/^  -/ { print $1 }'
        fi
}

_mailorigin()
{
    local word=$2 before=$3 verb="" i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -*) ;;
        *) verb=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $before in
    --log | --access-log | --keyring | --save | --unrecorded | --from-maillog)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return ;;
    --verdict)
        mapfile -t COMPREPLY < <(compgen -W "verified claimed ambiguous
            conflict hidden forged none" -- "$word")
        return ;;
    --by)
        mapfile -t COMPREPLY < <(compgen -W "script vhost uri client uid
            verdict hour" -- "$word")
        return ;;
    esac
    if [ -z "$verb" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_mailorigin_words commands)
            --help --version" -- "$word")
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W \
            "$(_mailorigin_words options "$verb")" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}

complete -o filenames -F _mailorigin mailorigin
