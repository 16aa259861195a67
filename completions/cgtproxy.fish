# fish completion for cgtproxy(8)

set -l commands check rules proxy clear config install-service uninstall-service
set -l first "not __fish_seen_subcommand_from $commands"

complete -c cgtproxy -f
complete -c cgtproxy -n $first -a check -d 'check the configuration and the permissions'
complete -c cgtproxy -n $first -a rules -d 'print the nftables ruleset; change nothing'
complete -c cgtproxy -n $first -a proxy -d 'run the built-in TPROXY server alone'
complete -c cgtproxy -n $first -a clear -d 'remove the table, ip rules and routes of a killed instance'
complete -c cgtproxy -n $first -a config -d 'about the configuration file'
complete -c cgtproxy -n $first -a install-service -d 'install systemd units, a user and an example configuration'
complete -c cgtproxy -n $first -a uninstall-service -d 'remove what install-service installed'
complete -c cgtproxy -n $first -l version -d 'show the version'
complete -c cgtproxy -n $first -l no-proxy -d 'do not start the built-in server'
complete -c cgtproxy -n '__fish_seen_subcommand_from check' -a 'config permission proxy'
complete -c cgtproxy -n '__fish_seen_subcommand_from config' -a schema
complete -c cgtproxy -s c -l config -r -F -d 'the configuration file'
complete -c cgtproxy -l log-level -x -a 'debug info warning error' -d 'how much to log'
complete -c cgtproxy -s h -l help -d 'show a help message'
