#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The backend's half of direct server return with translated addresses (culvert's DSR mode "nat"). The
# balancer rewrites the destination VIP:PORT to BACKEND:PORT and leaves the client's address as it is;
# this makes the backend's replies leave with the source VIP:PORT. One call is one binding of a backend's
# address, port and protocol on an interface; any number of them stand beside each other.
#
# Each method is a file in lib/ with the same functions: X_missing says why this host cannot use it, X_up
# and X_down act on one binding, X_rows prints for each binding of the interface the words
#   PROTO BACKEND VIP PACKETS BYTES LEFT DROPPED NETWORKS-LEFT-ALONE ONLY-NETWORKS
# All state is the kernel's own.
set -euo pipefail

TC_DIR=$(dirname "$(realpath "$0")")
readonly TC_DIR
readonly METHODS=(bpf nft act_nat) # in the order of preference

# shellcheck source=tc/lib/common.sh
source "$TC_DIR/lib/common.sh"
# shellcheck source=tc/lib/bpf.sh
source "$TC_DIR/lib/bpf.sh"
# shellcheck source=tc/lib/nft.sh
source "$TC_DIR/lib/nft.sh"
# shellcheck source=tc/lib/act_nat.sh
source "$TC_DIR/lib/act_nat.sh"
# shellcheck source=tc/lib/verify.sh
source "$TC_DIR/lib/verify.sh"

dev=
method=auto
proto=tcp
backend_hex=
backend_port=
vip_hex=
vip_port=
balancers=() # "HEX BITS" each
peer_nets=()
is_without_balancer=no

usage() {
	cat <<-'END'
		Usage: tc/dsr-egress.sh up|down|status|verify --dev DEV [OPTIONS]

		On a backend of culvert's DSR mode "nat": what BACKEND:PORT answers leaves DEV with the source
		VIP:PORT, so that clients take it for an answer of the virtual address.

		  up      load the rules for a backend, in place of those of an earlier up for it
		  down    remove them; without --backend, those of every backend on DEV. Harmless when
		          nothing is up; what was on the interface before stays
		  status  show what is translated on DEV, with counters
		  verify  check on this host that it works: the rules, the addresses, the routes back to the
		          clients. Exit status 1 when something is wrong

		  --dev DEV            the interface by which replies leave
		  --backend ADDR:PORT  where the server listens, as the balancer's configuration has it;
		                       IPv6 in brackets: [2001:db8::10]:80
		  --vip ADDR:PORT      the frontend
		  --balancer ADDR      an address of the balancer, of which there may be several. Replies to
		                       it stay as they are: health checks come from the balancer's own
		                       address, which the balancer never translates, and with the source
		                       rewritten they would all fail. Therefore required for up;
		                       "none" says that no check meets this port
		  --peer-net CIDR      translate replies to these networks only; several are possible.
		                       Default: to everybody but the balancer
		  --method METHOD      bpf      a program at the interface's egress (needs bpftool, and
		                                dsr_egress.bpf.o, which "make" builds where clang is)
		                       nft      nftables, in a table of its own
		                       act_nat  an htb qdisc with u32 filters and the action nat: IPv4
		                                only, and backend and VIP have the same port
		                       auto     the first of these that this host has (default)
		  --proto tcp|udp      default tcp
		  --dry-run            for up and down: print the commands instead

		Exit status: 0 done; 1 not done, or verify found something wrong; 2 wrong usage.
	END
}

# --- the command line ----------------------------------------------------------------------------------

set_endpoint() { # OPTION VALUE
	local parsed
	if ! parsed=$(parse_endpoint "$2"); then
		usage_error "$1 is ADDR:PORT or [ADDR]:PORT, not \"$2\""
	fi
	case $1 in
	--backend) read -r backend_hex backend_port <<<"$parsed" ;;
	--vip) read -r vip_hex vip_port <<<"$parsed" ;;
	esac
}

add_network() { # OPTION VALUE
	local parsed
	if [[ $1 == --balancer && $2 == none ]]; then
		is_without_balancer=yes
		return
	fi
	if ! parsed=$(parse_network "$2") || [[ $1 == --balancer && $2 == */* ]]; then
		usage_error "$1: \"$2\" is no address"
	fi
	case $1 in
	--balancer) balancers+=("$parsed") ;;
	--peer-net) peer_nets+=("$parsed") ;;
	esac
}

parse_options() {
	while (($# > 0)); do
		case $1 in
		--dry-run)
			is_dry_run=yes
			shift
			continue
			;;
		--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
		esac
		if (($# < 2)); then usage_error "$1 needs a value, or is not known"; fi
		case $1 in
		--dev) dev=$2 ;;
		--method) method=$2 ;;
		--proto) proto=$2 ;;
		--backend | --vip) set_endpoint "$1" "$2" ;;
		--balancer | --peer-net) add_network "$1" "$2" ;;
		*) usage_error "\"$1\" is not known" ;;
		esac
		shift 2
	done
}

check_family() { # OPTION HEX
	if [[ $(family_of "$backend_hex") != $(family_of "$2") ]]; then
		usage_error "$1 $(text_of "$2") and the backend $(text_of "$backend_hex") are of different families"
	fi
}

check_options() { # COMMAND
	local net
	if [[ -z $dev ]]; then usage_error '--dev is needed'; fi
	if [[ ! $method =~ ^(auto|bpf|nft|act_nat)$ ]]; then usage_error "no method \"$method\""; fi
	if [[ ! $proto =~ ^(tcp|udp)$ ]]; then usage_error "--proto is tcp or udp, not \"$proto\""; fi
	if [[ -z $backend_hex && $1 =~ ^(up|verify)$ ]]; then usage_error "$1 needs --backend"; fi
	if [[ -n $vip_hex && -n $backend_hex ]]; then check_family --vip "$vip_hex"; fi
	if [[ -n $backend_hex ]]; then
		for net in "${balancers[@]}"; do
			check_family --balancer "${net% *}"
			if [[ ${net% *} == "$vip_hex" ]]; then
				say 'note: --balancer is the VIP, which is right only where the balancer speaks to this host from it'
			fi
		done
		for net in "${peer_nets[@]}"; do check_family --peer-net "${net% *}"; done
	fi
	if ((${#balancers[@]} > 0)) && [[ $is_without_balancer == yes ]]; then
		usage_error '--balancer is an address or none, not both'
	fi
	if [[ $1 != up ]]; then return; fi
	if [[ -z $vip_hex ]]; then usage_error 'up needs --vip'; fi
	if ((${#balancers[@]} == 0)) && [[ $is_without_balancer == no ]]; then
		usage_error 'up needs --balancer: without it the answers to health checks would be translated, too, and fail; --balancer none if there are none'
	fi
}

# --- methods -------------------------------------------------------------------------------------------

# Why a method cannot have this binding here, or nothing.
obstacle() { # METHOD
	local reason=
	if [[ $1 == act_nat ]]; then reason=$(act_nat_unfit); fi
	printf '%s' "${reason:-$("$1_missing")}"
}

choose_method() {
	local candidate reason usable='' reasons=
	for candidate in "${METHODS[@]}"; do
		reason=$(obstacle "$candidate")
		reasons+="; $candidate: $reason"
		if [[ -z $reason ]]; then usable=${usable:-$candidate}; fi
		if [[ $candidate == "$method" && -z $reason ]]; then return; fi
	done
	if [[ -z $usable ]]; then die "no method is possible here${reasons/;/:}"; fi
	if [[ $method != auto ]]; then
		die "$method: $(obstacle "$method"); use --method $usable"
	fi
	method=$usable
}

# What is loaded cannot be told, nor taken away, without the tool for it.
need_sight() {
	if ! has bpftool && [[ -n $(bpf_filter) ]]; then
		die "on $dev there are rules of the method bpf, which need bpftool (Debian: bpftool)"
	fi
}

# Methods that a command other than up is about.
selected_methods() {
	if [[ $method == auto ]]; then printf '%s\n' "${METHODS[@]}"; else printf '%s\n' "$method"; fi
}

# --- commands ------------------------------------------------------------------------------------------

up() {
	local other
	need_link "$dev"
	choose_method
	"${method}_up"
	for other in "${METHODS[@]}"; do
		if [[ $other != "$method" ]]; then "${other}_down"; fi
	done
	if [[ $is_dry_run == no ]]; then
		printf '%s: %s %s leaves %s as %s\n' "$method" "$proto" \
			"$(endpoint_text "$backend_hex" "$backend_port")" "$dev" "$(endpoint_text "$vip_hex" "$vip_port")"
	fi
}

down() {
	local each
	for each in $(selected_methods); do
		if [[ -n $backend_hex ]]; then "${each}_down"; else down_all "$each"; fi
	done
}

down_all() { # METHOD
	local row rows backend
	mapfile -t rows < <("$1_rows")
	for row in "${rows[@]}"; do
		read -r proto backend _ <<<"$row"
		read -r backend_hex backend_port <<<"$(parse_endpoint "$backend")"
		"$1_down"
	done
	backend_hex=
}

show_row() { # METHOD ROW...
	printf '%s %s %s -> %s: %s packets (%s bytes) translated, %s left alone, %s dropped\n' \
		"$1" "$2" "$3" "$4" "$5" "$6" "${7/#-/?}" "${8/#-/?}"
	if [[ $9 != - ]]; then printf '    left alone are replies to %s\n' "${9//,/, }"; fi
	if [[ ${10} != - ]]; then printf '    translated are only replies to %s\n' "${10//,/, }"; fi
}

status() {
	local each row is_up=no
	for each in $(selected_methods); do
		while read -r row; do
			is_up=yes
			# shellcheck disable=SC2086 # words
			show_row "$each" $row
		done < <("${each}_rows")
	done
	if [[ $is_up == no ]]; then printf 'down: nothing is translated on %s\n' "$dev"; fi
}

main() {
	local command=${1:-}
	case " $* " in *' --help '* | *' -h '*) command=help ;; esac
	case $command in
	help)
		usage
		return
		;;
	up | down | status | verify) shift ;;
	*) usage_error 'one of up, down, status, verify is needed' ;;
	esac
	parse_options "$@"
	check_options "$command"
	need_root
	lock
	need_sight
	"$command"
}

main "$@"
