# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of culvertctl for bash. Commands and options come from its --help, names from the culvert that
# runs, if one does: nothing here grows old.

# What a running culvert is asked, with the socket that the line names; never for long.
_culvertctl_ask() { # ARGUMENT...
	local i socket=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == --socket ]]; then
			if [[ ${COMP_WORDS[i + 1]} == '=' ]]; then ((i++)); fi
			socket=("--socket=${COMP_WORDS[i + 1]}")
		fi
	done
	culvertctl --timeout=1 "${socket[@]}" "$@" 2>/dev/null
}

# The first word that is neither an option nor the value of one.
_culvertctl_command() {
	local i word
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $word == '=' ]]; then
			((i++))
		elif [[ $word == --socket || $word == --timeout ]]; then
			if [[ ${COMP_WORDS[i + 1]} != '=' ]]; then ((i++)); fi
		elif [[ $word != -* ]]; then
			printf '%s' "$word"
			return
		fi
	done
}

# Lines of standard input that begin with what has been typed, quoted for the shell.
_culvertctl_offer() { # TYPED
	local line
	while IFS= read -r line; do
		if [[ $line == "$1"* ]]; then COMPREPLY+=("$(printf '%q' "$line")"); fi
	done
}

_culvertctl_offer_options() { # TYPED COMMAND
	local options=()
	mapfile -t options < <(culvertctl ${2:+"$2"} --help 2>/dev/null |
		sed -nE 's/^ +(-[a-z], )?(--[a-z-]+=?).*/\2/p')
	mapfile -t COMPREPLY < <(compgen -W "${options[*]}" -- "$1")
	if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
}

_culvertctl_offer_value() { # TYPED OPTION
	case $2 in
	--server) _culvertctl_offer "$1" < <(_culvertctl_ask servers --names) ;;
	--sample) _culvertctl_offer "$1" < <(_culvertctl_ask drops --json |
		sed -n 's/.*"reason": "\([^"]*\)".*/\1/p') ;;
	--mode) _culvertctl_offer "$1" < <(printf '%s\n' proxy passthrough dsr) ;;
	--socket) compopt -o default ;;
	esac
}

_culvertctl_offer_argument() { # TYPED COMMAND
	case $2 in
	'') _culvertctl_offer "$1" < <(culvertctl --help 2>/dev/null | sed -nE 's/^  ([a-z]+).*/\1/p') ;;
	drain | maint | ready) _culvertctl_offer "$1" < <(_culvertctl_ask servers --names) ;;
	weight)
		if [[ ${COMP_WORDS[COMP_CWORD - 1]} == weight ]]; then
			_culvertctl_offer "$1" < <(_culvertctl_ask servers --names)
		else
			_culvertctl_offer "$1" <<<default
		fi
		;;
	servers) _culvertctl_offer "$1" < <(_culvertctl_ask servers --names | sed 's|/.*||' | sort -u) ;;
	check) compopt -o default ;;
	drops) if [[ " ${COMP_WORDS[*]} " == *' --sample '* ]]; then compopt -o default; fi ;;
	reload) if [[ " ${COMP_WORDS[*]} " == *' --plan '* ]]; then compopt -o default; fi ;;
	esac
}

_culvertctl() {
	local typed=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command
	command=$(_culvertctl_command)
	COMPREPLY=()
	if [[ $typed == '=' ]]; then
		_culvertctl_offer_value '' "$before"
	elif [[ $before == '=' ]]; then
		_culvertctl_offer_value "$typed" "${COMP_WORDS[COMP_CWORD - 2]}"
	elif [[ $before == --@(server|sample|mode|socket) ]]; then
		_culvertctl_offer_value "$typed" "$before"
	elif [[ $typed == -* ]]; then
		_culvertctl_offer_options "$typed" "$command"
	else
		_culvertctl_offer_argument "$typed" "$command"
	fi
}

complete -F _culvertctl culvertctl
