#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the scripts in tc/ share; sourced by them. Addresses are compared as 32 hexadecimal digits,
# those of IPv4 mapped into IPv6 (::ffff:a.b.c.d), whatever way they are written.

readonly MAPPED=00000000000000000000ffff
PROGRAM=$(basename "$0")
readonly PROGRAM

is_dry_run=no

say() { # MESSAGE
	printf '%s: %s\n' "$PROGRAM" "$1" >&2
}

die() { # MESSAGE [STATUS]
	say "$1"
	exit "${2:-1}"
}

usage_error() { # MESSAGE
	die "$1 (--help shows the usage)" 2
}

# A command that changes something: done, or printed in a dry run.
run() { # COMMAND...
	if [[ $is_dry_run == yes ]]; then
		printf '%s\n' "$*"
	else
		"$@"
	fi
}

# As run(), and what the command says is kept in $said, for the caller's message.
# shellcheck disable=SC2034
said=
attempt() { # COMMAND...
	if [[ $is_dry_run == yes ]]; then
		run "$@"
	else
		# shellcheck disable=SC2034
		said=$("$@" 2>&1)
	fi
}

# One at a time in a network namespace. The lock goes with the process.
lock() {
	exec 9</proc/self/ns/net
	flock 9
}

has() { # COMMAND
	command -v "$1" >/dev/null
}

need_root() {
	if ((EUID != 0)) && [[ $is_dry_run == no ]]; then die 'this needs root'; fi
}

# --- links -------------------------------------------------------------------------------------------

link_exists() { # DEV
	ip link show dev "$1" >/dev/null 2>&1
}

need_link() { # DEV
	if ! link_exists "$1"; then die "there is no interface \"$1\" here"; fi
}

# ether, loopback, none, ppp, ...
link_type() { # DEV
	ip -o link show dev "$1" | sed -n 's|.* link/\([^ ]*\).*|\1|p'
}

# --- addresses ---------------------------------------------------------------------------------------

hex_of_v4() { # ADDR
	local parts part out=$MAPPED
	if [[ ! $1 =~ ^[0-9]+(\.[0-9]+){3}$ ]]; then return 1; fi
	IFS=. read -r -a parts <<<"$1"
	for part in "${parts[@]}"; do
		if [[ ! $part =~ ^(0|[1-9][0-9]{0,2})$ ]] || ((part > 255)); then return 1; fi
		printf -v out '%s%02x' "$out" "$part"
	done
	printf '%s' "$out"
}

# One side of the "::" of an address.
hex_of_groups() { # GROUPS
	local groups group out=
	if [[ -z $1 ]]; then return; fi
	if [[ ! $1 =~ ^[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4})*$ ]]; then return 1; fi
	IFS=: read -r -a groups <<<"$1"
	for group in "${groups[@]}"; do printf -v out '%s%04x' "$out" "0x$group"; done
	printf '%s' "$out"
}

hex_of_v6() { # ADDR
	local head tail zeros
	if [[ $1 == *::*::* ]] || ! head=$(hex_of_groups "${1%%::*}"); then return 1; fi
	if [[ $1 == *::* ]]; then
		if ! tail=$(hex_of_groups "${1#*::}"); then return 1; fi
		zeros=$((32 - ${#head} - ${#tail}))
		if ((zeros < 4)); then return 1; fi
		printf -v head '%s%0*d%s' "$head" "$zeros" 0 "$tail"
	fi
	if ((${#head} != 32)); then return 1; fi
	printf '%s' "$head"
}

# Prints nothing and fails when it is not an address.
hex_of() { # ADDR
	if [[ $1 == *:* ]]; then hex_of_v6 "$1"; else hex_of_v4 "$1"; fi
}

is_v4() { # HEX
	[[ $1 == "$MAPPED"* ]]
}

family_of() { # HEX
	if is_v4 "$1"; then printf 4; else printf 6; fi
}

# The longest run of zeros of an IPv6 address is written as "::" (RFC 5952).
text_of() { # HEX
	local hex=$1 out='' zeros i
	if is_v4 "$hex"; then
		printf '%d.%d.%d.%d' "0x${hex:24:2}" "0x${hex:26:2}" "0x${hex:28:2}" "0x${hex:30:2}"
		return
	fi
	for ((i = 0; i < 32; i += 4)); do printf -v out '%s:%x' "$out" "0x${hex:i:4}"; done
	for ((i = 8; i >= 2; i--)); do
		printf -v zeros '%*s' "$i" ''
		zeros=${zeros// /:0}
		if [[ $out: == *"$zeros":* ]]; then
			out=$out:
			out=${out/"$zeros":/::}
			break
		fi
	done
	if [[ $out != ::* ]]; then out=${out#:}; fi
	if [[ $out != *:: ]]; then out=${out%:}; fi
	printf '%s' "$out"
}

endpoint_text() { # HEX PORT
	if is_v4 "$1"; then printf '%s:%s' "$(text_of "$1")" "$2"; else printf '[%s]:%s' "$(text_of "$1")" "$2"; fi
}

# The bits behind the first BITS are zeroed.
mask_hex() { # HEX BITS
	local hex=$1 bits=$2 out='' i keep digit
	for ((i = 0; i < 32; i++)); do
		keep=$((bits - 4 * i))
		if ((keep > 4)); then keep=4; fi
		if ((keep < 0)); then keep=0; fi
		digit=$((16#${hex:i:1} & (0xf0 >> keep) & 0xf))
		printf -v out '%s%x' "$out" "$digit"
	done
	printf '%s' "$out"
}

# "ADDR:PORT" or "[ADDR]:PORT" to "HEX PORT".
parse_endpoint() { # TEXT
	local addr port hex
	if [[ ! $1 =~ ^([0-9.]+|\[[0-9a-fA-F:]+\]):([1-9][0-9]{0,4})$ ]]; then return 1; fi
	addr=${BASH_REMATCH[1]}
	port=${BASH_REMATCH[2]}
	addr=${addr#[}
	if ((port > 65535)) || ! hex=$(hex_of "${addr%]}"); then return 1; fi
	printf '%s %s' "$hex" "$port"
}

# "ADDR/LENGTH", or an address alone, to "HEX BITS" with the bits counted in IPv6.
parse_network() { # TEXT
	local hex bits max=128
	if ! hex=$(hex_of "${1%%/*}"); then return 1; fi
	if is_v4 "$hex"; then max=32; fi
	bits=$max
	if [[ $1 == */* ]]; then bits=${1#*/}; fi
	if [[ ! $bits =~ ^(0|[1-9][0-9]{0,2})$ ]] || ((bits > max)); then return 1; fi
	bits=$((bits + 128 - max))
	printf '%s %s' "$(mask_hex "$hex" "$bits")" "$bits"
}

network_text() { # HEX BITS
	local bits=$2
	text_of "$1"
	if ((bits == 128)); then return; fi
	if is_v4 "$1"; then bits=$((bits - 96)); fi
	printf '/%d' "$bits"
}
