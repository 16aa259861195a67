# bash completion for cgtproxy(8)

_cgtproxy() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local options='-c --config --log-level -h --help' words
    case $previous in
        -c | --config)
            COMPREPLY=($(compgen -f -- "$word"))
            return
            ;;
        --log-level) words='debug info warning error' ;;
        check) words="config permission proxy $options" ;;
        config) words="schema $options" ;;
        rules | proxy) words=$options ;;
        clear | install-service | uninstall-service) words='-h --help' ;;
        *) words="check rules proxy clear config install-service uninstall-service --no-proxy --version $options" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}

complete -o filenames -F _cgtproxy cgtproxy
