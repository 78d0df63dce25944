#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The backend's half of culvert's DSR modes "l2" and "ipip", in which packets reach the backend with
# the virtual address (VIP) as their destination: by the backend's link address, or inside a tunnel from
# the balancer. The VIP is put on the loopback interface, where no neighbour hears of it, and servers
# listen on it; their replies then have the right source by themselves.
set -euo pipefail

TC_DIR=$(dirname "$(realpath "$0")")
readonly TC_DIR
readonly CONF=/proc/sys/net/ipv4/conf
readonly IP_BYTES=20 IP_TCP_BYTES=40

# shellcheck source=tc/lib/common.sh
source "$TC_DIR/lib/common.sh"
# shellcheck source=tc/lib/notes.sh
source "$TC_DIR/lib/notes.sh"

dev=
method=
vip_hex=
balancers=() # "HEX BITS" each

usage() {
	cat <<-'END'
		Usage: tc/dsr-backend.sh up|down|status --method l2|ipip --vip ADDR --dev DEV [OPTIONS]

		On a backend of culvert's DSR modes "l2" and "ipip", whose servers listen on the VIP itself.

		  up      put the VIP on lo, and keep DEV from answering for it by ARP; for ipip also take
		          in the balancer's tunnel, and lower the MSS that is offered to clients so that
		          their segments fit into it
		  down    undo that, restoring what was there before. Harmless when nothing is up
		  status  show what is up; --vip and --dev are not needed

		  --method l2        the balancer addresses frames to this host's link address; both are on
		                     one network. IPv4 and IPv6
		  --method ipip      the balancer wraps packets into IPv4 towards this host. IPv4 only
		  --vip ADDR         the frontend's address; several: one call for each
		  --dev DEV          the interface that requests come in by
		  --balancer ADDR    ipip: whose packets are unwrapped; needed, since whoever may send such
		                     packets may write any source address; repeat it for several
		  --dry-run          for up and down: print the commands instead

		Exit status: 0 done, 1 not done, 2 wrong usage.
	END
}

# --- settings ------------------------------------------------------------------------------------------

set_sysctl() { # PATH VALUE
	if [[ $is_dry_run == yes ]]; then
		printf 'sysctl -w %s=%s\n' "${1#/proc/sys/}" "$2"
	else
		printf '%s\n' "$2" >"$1"
	fi
}

raise_sysctl() { # PATH VALUE
	local before
	before=$(<"$1")
	if ((before >= $2)); then return; fi
	add_note "sysctl $1 $before $2"
	set_sysctl "$1" "$2"
}

restore_sysctls() { # of $dev
	local note path before
	for note in "${notes[@]}"; do
		read -r _ path before _ <<<"$note"
		if [[ $note != "sysctl $CONF/$dev/"* ]]; then continue; fi
		set_sysctl "$path" "$before"
		drop_notes "sysctl $path"
	done
}

# Replies to ARP only for addresses of the interface that is asked, and asks in the name of such ones.
quieten_arp() {
	if ! is_v4 "$vip_hex"; then return; fi # IPv6 never answers for another interface's address
	raise_sysctl "$CONF/$dev/arp_ignore" 1 &&
		raise_sysctl "$CONF/$dev/arp_announce" 2
}

dev_has_vip() {
	local note name
	for note in "${notes[@]}"; do
		read -r _ _ name _ <<<"$note"
		if [[ $note == "vip "* && $name == "$dev" ]]; then return; fi
	done
	return 1
}

vip_prefix() {
	if is_v4 "$vip_hex"; then
		printf '%s/32' "$(text_of "$vip_hex")"
	else
		printf '%s/128' "$(text_of "$vip_hex")"
	fi
}

# With no preferred lifetime, IPv6 does not take it for connections of this host's own.
add_vip() {
	local note how=added
	note=$(find_note "vip $vip_hex")
	if is_on_lo "$vip_hex"; then how=${note##* }; fi
	drop_notes "vip $vip_hex $dev"
	add_note "vip $vip_hex $dev $method ${how:-kept}"
	if is_on_lo "$vip_hex"; then return; fi
	if is_v4 "$vip_hex"; then
		run ip addr add "$(vip_prefix)" dev lo
	else
		run ip addr add "$(vip_prefix)" dev lo preferred_lft 0
	fi
}

# --- the tunnel ----------------------------------------------------------------------------------------

tunnel_name() { # BALANCER-HEX
	printf 'cvip%s' "${1#"$MAPPED"}"
}

add_tunnel() { # BALANCER-HEX
	local link
	link=$(tunnel_name "$1")
	drop_notes "tunnel $link $vip_hex $dev"
	add_note "tunnel $link $vip_hex $dev"
	if ! link_exists "$link" && ! attempt ip link add "$link" type ipip local any remote "$(text_of "$1")"; then
		say "the kernel makes no IPIP tunnel (${said%%$'\n'*}; CONFIG_NET_IPIP); use --method l2, or the mode nat with dsr-egress.sh"
		return 1
	fi
	# The way back to the client is not the tunnel. To filter loosely, the kernel wants an address there.
	set_sysctl "$CONF/$link/rp_filter" 2 && run ip link set "$link" up &&
		run ip addr replace "$(vip_prefix)" dev "$link"
}

remove_tunnels() { # NAMES-TO-KEEP...
	local note link
	for note in "${notes[@]}"; do
		read -r _ link _ <<<"$note"
		if [[ $note != "tunnel $link $vip_hex $dev" || " $* " == *" $link "* ]]; then continue; fi
		drop_notes "$note"
		if [[ -z $(find_note "tunnel $link") ]] && link_exists "$link"; then run ip link del "$link"; fi
	done
}

vip_is_tunnelled() {
	local note
	for note in "${notes[@]}"; do
		if [[ $note == "vip $vip_hex "*" ipip "* ]]; then return; fi
	done
	return 1
}

clamp_table() {
	printf 'culvert_dsr_mss_%s' "${vip_hex#"$MAPPED"}"
}

# nftables lowers the option and never raises it.
clamp_ruleset() { # MSS
	local table
	table=$(clamp_table)
	printf 'table inet %s {\n}\ndelete table inet %s\ntable inet %s {\n' "$table" "$table" "$table"
	printf '\tchain postrouting {\n\t\ttype filter hook postrouting priority mangle; policy accept;\n'
	printf '\t\tip saddr %s tcp flags & (syn | rst) == syn tcp option maxseg size set %d counter\n\t}\n}\n' \
		"$(text_of "$vip_hex")" "$1"
}

# What the client may send must fit into the tunnel; the SYN-ACK, which says so, does not pass there.
clamp_mss() {
	local mtu mss
	mtu=$(ip -o link show dev "$dev" | sed -n 's/.* mtu \([0-9]*\) .*/\1/p')
	mss=$((mtu - IP_BYTES - IP_TCP_BYTES))
	if [[ $is_dry_run == yes ]]; then
		printf 'nft -f - <<END\n%s\nEND\n' "$(clamp_ruleset "$mss")"
	elif ! said=$(nft -f - <<<"$(clamp_ruleset "$mss")" 2>&1); then
		say "nft did not take the rule that lowers the MSS (${said%%$'\n'*})"
		return 1
	fi
}

unclamp_mss() {
	if has nft && nft list table inet "$(clamp_table)" >/dev/null 2>&1; then
		run nft delete table inet "$(clamp_table)"
	fi
}

# --- commands ------------------------------------------------------------------------------------------

up_ipip() {
	local balancer links=()
	clamp_mss || return
	for balancer in "${balancers[@]}"; do
		add_tunnel "${balancer% *}" || return
		links+=("$(tunnel_name "${balancer% *}")")
	done
	remove_tunnels "${links[@]}"
}

# What goes wrong half way is undone.
up() {
	local note
	need_link "$dev"
	if [[ $method == ipip ]] && ! has nft; then die 'ipip needs nft, to lower the MSS (Debian: nftables)'; fi
	note=$(find_note "vip $vip_hex $dev")
	if [[ -n $note && $note != "vip $vip_hex $dev $method "* ]]; then down; fi
	if ! { quieten_arp && add_vip && { [[ $method != ipip ]] || up_ipip; }; }; then
		down
		die "$(text_of "$vip_hex") is not up"
	fi
	save_notes
}

down() {
	local note
	note=$(find_note "vip $vip_hex $dev")
	remove_tunnels # all of them
	drop_notes "vip $vip_hex $dev"
	if [[ -z $(find_note "vip $vip_hex") && $note == *' added' ]]; then
		run ip addr del "$(vip_prefix)" dev lo
	fi
	if ! vip_is_tunnelled; then unclamp_mss; fi
	if ! dev_has_vip; then restore_sysctls; fi
	save_notes
}

show_vip() { # HEX DEV METHOD
	local link
	vip_hex=$1
	printf '%s: %s on lo, for requests by %s' "$3" "$(text_of "$1")" "$2"
	if is_v4 "$1" && [[ -d $CONF/$2 ]]; then
		printf ' (arp_ignore %s, arp_announce %s)' "$(<"$CONF/$2/arp_ignore")" "$(<"$CONF/$2/arp_announce")"
	fi
	printf '\n'
	if [[ $3 != ipip ]]; then return; fi
	for link in $(printf '%s\n' "${notes[@]}" | sed -n "s/^tunnel \([^ ]*\) $1 $2\$/\1/p"); do
		ip -s link show dev "$link" | sed 's/^/    /'
	done
	nft list table inet "$(clamp_table)" | sed -n 's/^\t*\(ip saddr\)/    \1/p'
}

status() {
	local note hex link name
	if [[ -z $(find_note vip) ]]; then
		printf 'down: no VIP is up\n'
		return
	fi
	for note in "${notes[@]}"; do
		read -r _ hex link name _ <<<"$note"
		if [[ $note == "vip "* ]]; then show_vip "$hex" "$link" "$name"; fi
	done
}

parse_options() {
	local parsed
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
		--vip | --balancer)
			if ! parsed=$(parse_network "$2") || [[ $2 == */* ]]; then
				usage_error "$1: \"$2\" is no address"
			fi
			if [[ $1 == --vip ]]; then vip_hex=${parsed% *}; else balancers+=("$parsed"); fi
			;;
		*) usage_error "\"$1\" is not known" ;;
		esac
		shift 2
	done
}

check_options() { # COMMAND
	local balancer
	if [[ $1 == status ]]; then return; fi
	if [[ -z $vip_hex || -z $dev ]]; then usage_error "$1 needs --vip and --dev"; fi
	if [[ $1 == down ]]; then return; fi
	if [[ ! $method =~ ^(l2|ipip)$ ]]; then usage_error "--method is l2 or ipip, not \"$method\""; fi
	if [[ $method == l2 ]]; then return; fi
	if ! is_v4 "$vip_hex"; then usage_error 'ipip is for IPv4'; fi
	if ((${#balancers[@]} == 0)); then usage_error 'ipip needs --balancer'; fi
	for balancer in "${balancers[@]}"; do
		if ! is_v4 "$balancer"; then usage_error "--balancer $(text_of "${balancer% *}"): ipip is for IPv4"; fi
	done
}

main() {
	local command=${1:-}
	case " $* " in *' --help '* | *' -h '*) command=help ;; esac
	case $command in
	help)
		usage
		return
		;;
	up | down | status) shift ;;
	*) usage_error 'one of up, down, status is needed' ;;
	esac
	parse_options "$@"
	check_options "$command"
	need_root
	lock
	load_notes
	"$command"
}

main "$@"
