#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Keep the kernel from answering packets that culvert forwards, by iptables and ip6tables: for hosts
# where culvert itself shall not touch the firewall (`[firewall] manage = false`). The rules of each
# family are in a chain of their own, CULVERT in the table raw, entered from the top of PREROUTING.
# They drop
#   - what clients send to a frontend, and
#   - replies of backends to ports of the NAT range,
# which culvert has seen before: packet sockets come first. Health probes use other ports and pass.
# Of datagrams in fragments the kernel sees the whole here where connection tracking is in use. Elsewhere
# the first fragment is dropped, and the others, which have no ports, wait for it in vain, unanswered.
# `up` also takes the NAT range out of the ports that this host uses for its own connections.
set -euo pipefail

readonly PROGRAMS=(iptables ip6tables)
readonly CHAIN=CULVERT
readonly PORTS=/proc/sys/net/ipv4/ip_local_reserved_ports
# One network namespace of a machine, one state: "BOOT-ID PORTS". A number may come to name another
# namespace later, after a boot or when the first is gone.
STATE=/run/culvert/iptables-$(stat -L -c %i /proc/self/ns/net)
BOOT_ID=$(</proc/sys/kernel/random/boot_id)
readonly STATE BOOT_ID

config=/etc/culvert/culvert.toml
culvert=

usage() {
	cat <<-'END'
		Usage: iptables/setup.sh up|down|status [--config FILE] [--culvert PATH]

		  up      install the rules for FILE, in place of those of an earlier up, and reserve the
		          NAT ports in net.ipv4.ip_local_reserved_ports
		  down    remove the rules, and restore the reserved ports; harmless when nothing is up
		  status  show the rules with their counters, and the reserved ports

		  --config FILE   culvert's configuration; default /etc/culvert/culvert.toml
		  --culvert PATH  the program, asked for the rules; default: beside this script's tree, or
		                  from the PATH

		Run `up` before culvert starts and whenever frontends, backends or NAT settings change.
	END
}

die() {
	printf 'setup.sh: %s\n' "$1" >&2
	exit "${2:-1}"
}

find_culvert() {
	local tree
	tree=$(dirname "$(realpath "$0")")/..
	if [[ -n $culvert ]]; then
		return
	elif [[ -x $tree/build/culvert ]]; then
		culvert=$tree/build/culvert
	elif ! culvert=$(command -v culvert); then
		die 'culvert is not in the PATH; name it with --culvert'
	fi
}

# Each family's command is named by its first argument: iptables or ip6tables.
ipt() { # PROGRAM ARGS...
	"$1" -w 5 -t raw "${@:2}"
}

# Also "no" where the program is not installed, or the kernel does not know the family.
chain_exists() { # PROGRAM
	ipt "$1" -S "$CHAIN" >/dev/null 2>&1
}

# --- rules -----------------------------------------------------------------------------------------

# Those of one family: addresses of IPv6, and no others, have colons.
plan_of() { # PROGRAM PLAN
	if [[ $1 == ip6tables ]]; then
		awk '$3 ~ /:/' <<<"$2"
	else
		awk '$3 !~ /:/' <<<"$2"
	fi
}

# From lines of --print-firewall to iptables-restore's, which replaces the chain in one transaction.
# An address without a length is one host.
rules_from() { # PLAN
	local kind proto addr port snat min max
	printf '*raw\n:%s - [0:0]\n' "$CHAIN"
	while read -r kind proto addr port snat min max; do
		case $kind in
		frontend)
			printf -- '-A %s -d %s -p %s --dport %s -j DROP\n' "$CHAIN" "$addr" "$proto" "$port"
			;;
		reply)
			printf -- '-A %s -s %s' "$CHAIN" "$addr"
			if [[ $snat != any ]]; then printf -- ' -d %s' "$snat"; fi
			printf -- ' -p %s --sport %s --dport %s:%s -j DROP\n' "$proto" "$port" "$min" "$max"
			;;
		*) die "culvert printed a rule that is not known here: $kind" ;;
		esac
	done <<<"$1"
	printf 'COMMIT\n'
}

nat_range_of() { # PLAN
	awk '$1 == "reply" { print $6 "-" $7; exit }' <<<"$1"
}

# --- reserved ports ----------------------------------------------------------------------------------

# The ports of a list like "8000-8010,40000", one per line, in the order that comm needs.
expand() { # LIST
	tr ',' '\n' <<<"$1" | awk -F- 'NF { for (p = $1; p <= $NF; p++) print p }' | sort -u
}

# And back.
compress() {
	sort -n -u | awk 'NR == 1 { a = b = $1; next }
		$1 == b + 1 { b = $1; next }
		{ out = out "," (a == b ? a : a "-" b); a = b = $1 }
		END { if (NR) print substr(out "," (a == b ? a : a "-" b), 2) }'
}

# The ports that an earlier call reserved. When some of them are not reserved any more, somebody has
# written the list since, or it is another namespace's: what is in it is not ours to give back.
reserved_by_us() {
	local boot='' ports=''
	if [[ -e $STATE ]]; then read -r boot ports <"$STATE" || true; fi
	if [[ $boot != "$BOOT_ID" ]]; then return; fi
	if [[ -z $(comm -13 <(expand "$(<"$PORTS")") <(expand "$ports")) ]]; then
		printf '%s' "$ports"
	fi
}

# Reserve RANGE in place of what an earlier call did; an empty one restores what was there. $STATE
# holds the ports that others had not reserved, so that theirs are never taken away.
reserve() { # RANGE
	local mine others all
	mine=$(reserved_by_us)
	others=$(comm -23 <(expand "$(<"$PORTS")") <(expand "$mine") | compress)
	mine=$(comm -13 <(expand "$others") <(expand "$1") | compress)
	all=$(expand "$others,$1" | compress)
	if [[ -n $mine ]]; then
		mkdir -p "$(dirname "$STATE")"
		printf '%s %s\n' "$BOOT_ID" "$mine" >"$STATE"
	fi
	printf '%s\n' "$all" >"$PORTS"
	if [[ -z $mine ]]; then rm -f "$STATE"; fi
}

# --- commands ----------------------------------------------------------------------------------------

# A family that the plan does not speak of any more has no rules.
up_family() { # PROGRAM PLAN
	if [[ -z $2 ]]; then
		down_family "$1"
		return
	fi
	rules_from "$2" | "$1-restore" -w 5 --noflush
	if ! ipt "$1" -C PREROUTING -j "$CHAIN" 2>/dev/null; then ipt "$1" -I PREROUTING -j "$CHAIN"; fi
}

down_family() { # PROGRAM
	if ! chain_exists "$1"; then return; fi
	while ipt "$1" -D PREROUTING -j "$CHAIN" 2>/dev/null; do :; done
	ipt "$1" -F "$CHAIN"
	ipt "$1" -X "$CHAIN"
}

up() {
	local plan program
	find_culvert
	plan=$("$culvert" --config "$config" --print-firewall) ||
		die 'nothing is changed' $?
	if [[ -z $plan ]]; then die "$culvert printed no rules for $config"; fi
	for program in "${PROGRAMS[@]}"; do
		if [[ -n $(plan_of "$program" "$plan") ]] && ! command -v "$program-restore" >/dev/null; then
			die "there is no $program-restore, which the frontends of $config need; nothing is changed"
		fi
	done
	for program in "${PROGRAMS[@]}"; do up_family "$program" "$(plan_of "$program" "$plan")"; done
	reserve "$(nat_range_of "$plan")"
}

down() {
	local program
	for program in "${PROGRAMS[@]}"; do down_family "$program"; done
	if [[ -e $STATE ]]; then reserve ''; fi
	rmdir "$(dirname "$STATE")" 2>/dev/null || true
}

status_family() { # PROGRAM
	ipt "$1" -n -v -L "$CHAIN"
	if ! ipt "$1" -C PREROUTING -j "$CHAIN" 2>/dev/null; then
		printf 'The chain is not entered from PREROUTING; "up" puts that right.\n'
	fi
}

status() {
	local program is_up=no
	for program in "${PROGRAMS[@]}"; do
		if chain_exists "$program"; then
			is_up=yes
			status_family "$program"
		fi
	done
	if [[ $is_up == no ]]; then
		printf 'down: no chain %s in the table raw\n' "$CHAIN"
		return
	fi
	printf 'Reserved ports: %s\n' "$(<"$PORTS")"
}

main() {
	local command=${1:-}
	shift || true
	while (($# > 0)); do
		case $1 in
		--config | --culvert)
			if (($# < 2)); then die "$1 needs a value" 2; fi
			printf -v "${1#--}" '%s' "$2"
			shift
			;;
		--config=* | --culvert=*) printf -v "$(sed 's/^--//; s/=.*//' <<<"$1")" '%s' "${1#*=}" ;;
		-h | --help) command=help ;;
		*) die "\"$1\" is not known (--help shows the usage)" 2 ;;
		esac
		shift
	done
	case $command in
	help | -h | --help)
		usage
		return
		;;
	up | down | status) ;;
	*) die 'one of up, down, status is needed (--help shows the usage)' 2 ;;
	esac
	if ((EUID != 0)); then die 'this needs root'; fi
	if ! command -v iptables-restore >/dev/null; then die 'iptables is not installed'; fi
	"$command"
}

main "$@"
