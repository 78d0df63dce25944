#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The benchmark's machines as virtual ones, reached by ssh as Vagrant says. They stay up afterwards.
# Sourced by benchmark.sh; lib/place-lab.sh has the same functions.
# shellcheck disable=SC2034,SC2154 # variables of benchmark.sh's

place_check() {
	local tool
	for tool in vagrant ssh python3; do
		if ! command -v "$tool" >/dev/null; then
			die "$tool is not installed; without virtual machines: --place lab"
		fi
	done
	mapfile -t settings < <(grep -E '^\w+=' "$hosts_file")
	# shellcheck source=/dev/null
	source "$hosts_file"
}

place_up() {
	local host
	if ! (cd "$HERE" && vagrant ssh-config) >"$work/ssh"; then
		die 'the machines are not up; "vagrant up" in vagrant/ does that'
	fi
	for host in client lb "${BACKENDS[@]}"; do
		if ! grep -qx "Host $host" "$work/ssh"; then die "Vagrant knows no machine \"$host\""; fi
	done
}

place_reach() { # HOST SCRIPT ARGS...
	local words
	printf -v words '%q ' env "${settings[@]}" HOST="$1" "$TREE/vagrant/$2" "${@:3}"
	reach=(ssh -F "$work/ssh" -o BatchMode=yes -o LogLevel=ERROR -o ConnectTimeout=10
		-o ServerAliveInterval=10 "$1" "sudo $words")
}

place_down() {
	:
}

place_name() {
	printf 'virtual machines'
}
