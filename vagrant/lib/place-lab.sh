#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The benchmark's machines as network namespaces of this one (tools/lab), with tools/lab's addresses.
# Sourced by benchmark.sh; lib/place-vagrant.sh has the same functions.
# shellcheck disable=SC2034,SC2154 # variables of benchmark.sh's

readonly LAB=vm$$

place_check() {
	local tool
	if ((EUID != 0)); then die 'network namespaces need root: sudo vagrant/benchmark.sh --place lab'; fi
	if [[ ! -x $culvert ]]; then die "there is no $culvert; \"make\" builds it"; fi
	for tool in ip nginx haproxy wrk curl nft python3; do
		if ! command -v "$tool" >/dev/null; then die "$tool is not installed; \"make deps-dev\" does that"; fi
	done
	VIP=10.0.0.1
	settings=(VIP="$VIP" CLIENT=10.0.0.10 LB=10.0.0.2 B1=10.0.0.101 B2=10.0.0.102
		TREE="$ROOT" CULVERT="$culvert")
}

# The servers of the lab make way for the benchmark's own.
place_up() {
	"$ROOT/tools/lab" up --name "$LAB" --backends 2 --direct >/dev/null
	"$ROOT/tools/lab" stop --name "$LAB" b1
	"$ROOT/tools/lab" stop --name "$LAB" b2
}

place_reach() { # HOST SCRIPT ARGS...
	local host=$1
	shift
	reach=(ip netns exec "cv-$LAB-$host" env "${settings[@]}" HOST="$host" RUN_DIR="$work/$host"
		"$ROOT/vagrant/$1" "${@:2}")
}

place_down() {
	"$ROOT/tools/lab" down --name "$LAB" 2>/dev/null || true
}

place_name() {
	printf 'network namespaces on one machine'
}
