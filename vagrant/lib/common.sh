#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the scripts that run on the machines share; sourced by them. In the environment: HOST (client,
# lb, b1 or b2), the addresses of hosts.env, TREE and RUN_DIR.

PROGRAM=$(basename "$0")
readonly PROGRAM

die() { # MESSAGE
	printf '%s: %s\n' "$PROGRAM" "$1" >&2
	exit 1
}

need_settings() { # NAMES...
	local setting
	for setting in "$@"; do
		if [[ -z ${!setting:-} ]]; then die "$setting is not set; benchmark.sh and Vagrantfile do that"; fi
	done
	# It is removed with all that is in it.
	if [[ $RUN_DIR != /*/culvert-benchmark* ]]; then die "RUN_DIR is no directory of the benchmark: $RUN_DIR"; fi
}

need_programs() { # NAMES...
	local program
	for program in "$@"; do
		if ! command -v "$program" >/dev/null; then die "$program is not installed on $HOST"; fi
	done
}

own_addr() {
	local setting=${HOST^^}
	printf '%s' "${!setting}"
}

# The interface that has this host's address: boxes name it in different ways.
own_dev() {
	local dev
	dev=$(ip -o -4 addr show to "$(own_addr)/32" | awk '{ print $2; exit }')
	if [[ -z $dev ]]; then die "no interface of $HOST has the address $(own_addr)"; fi
	printf '%s' "$dev"
}

# With --no-install, packages and programs are there already.
wants_install() { # ARGS...
	case ${1:-} in
	'') return 0 ;;
	--no-install) return 1 ;;
	*) die "\"$1\" is not known; --no-install is" ;;
	esac
}
