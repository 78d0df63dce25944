#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Method bpf: one program (dsr_egress.bpf.c) at the egress of the interface, loaded by tc, its maps
# filled by bpftool. Nothing is pinned and no state is kept elsewhere: the maps live as long as the
# filter, and the filter's handle says whether the clsact qdisc came with it.
# shellcheck disable=SC2154 # the binding is dsr-egress.sh's

readonly BPF_PREF=900
readonly BPF_HANDLE_GUEST=0x1 # the clsact qdisc was there before
readonly BPF_HANDLE_OWNER=0x2 # it goes with the filter

# Beside this directory (installed, copied), or in the tree.
bpf_object() {
	local file
	for file in "$TC_DIR/dsr_egress.bpf.o" "$TC_DIR/../build/tc/dsr_egress.bpf.o"; do
		if [[ -r $file ]]; then
			realpath "$file"
			return
		fi
	done
}

bpf_missing() {
	if [[ -z $(bpf_object) ]]; then
		printf 'dsr_egress.bpf.o is not there: "make deps-dsr && make" builds it, and it may be copied beside this script'
	elif ! has tc || [[ $(tc -V) != *libbpf* ]]; then
		printf 'there is no tc that was built with libbpf (Debian: iproute2)'
	elif ! has bpftool; then
		printf 'bpftool is not installed (Debian: bpftool)'
	fi
}

# --- numbers as the maps hold them ---------------------------------------------------------------------

# Endianness of this host: what a number looks like whose bytes are given, and back.
host_order() { # HEX
	local out='' i
	if [[ $(printf '\1\0' | od -An -t u2 | tr -d ' ') == 256 ]]; then
		printf '%s' "$1"
		return
	fi
	for ((i = ${#1} - 2; i >= 0; i -= 2)); do out+=${1:i:2}; done
	printf '%s' "$out"
}

bytes_of() { # HEX
	# shellcheck disable=SC2001 # no, ${//} cannot
	sed 's/../& /g' <<<"$1"
}

proto_number() { # PROTO
	if [[ $1 == tcp ]]; then printf 6; else printf 17; fi
}

# struct endpoint: address, port, protocol, a zero.
bpf_binding_key() {
	printf '%s%04x%02x00' "$backend_hex" "$backend_port" "$(proto_number "$proto")"
}

# struct binding up to its counters: address, port, the rule for other destinations, zeros.
bpf_binding_value() {
	printf '%s%04x%02x%010d' "$vip_hex" "$vip_port" $((${#peer_nets[@]} == 0)) 0
}

# struct peer_key: the length of the prefix counts the binding's 160 bits, too.
bpf_peer_key() { # HEX BITS
	printf '%s%s%s' "$(host_order "$(printf '%08x' $((160 + $2)))")" "$(bpf_binding_key)" "$1"
}

# --- what is loaded --------------------------------------------------------------------------------------

# "HANDLE PROGRAM-ID" of our filter on the interface, or nothing.
bpf_filter() {
	if ! has tc || ! link_exists "$dev"; then return; fi
	tc filter show dev "$dev" egress 2>/dev/null | awk -v pref="$BPF_PREF" '
		/ name culvert_dsr(_ip)? / {
			for (i = 1; i < NF; i++) {
				if ($i == "pref") is_ours = $(i + 1) == pref
				if ($i == "handle") handle = $(i + 1)
				if ($i == "id") id = $(i + 1)
			}
			if (is_ours) { print handle, id; exit }
		}'
}

# The number of a map of our program.
bpf_map() { # NAME
	local handle id maps map
	read -r handle id <<<"$(bpf_filter)"
	if [[ -z $handle ]]; then
		if [[ $is_dry_run == yes ]]; then printf '<%s>' "$1"; fi
		return
	fi
	maps=$(bpftool prog show id "$id" | sed -n 's/.* map_ids \([0-9,]*\).*/\1/p')
	for map in ${maps//,/ }; do
		if [[ $(bpftool map show id "$map") == *" name $1 "* ]]; then printf '%s' "$map"; fi
	done
}

# Lines "KEY VALUE", in hexadecimal digits.
bpf_dump() { # MAP-NAME
	local map
	map=$(bpf_map "$1")
	if [[ ! $map =~ ^[0-9]+$ ]]; then return; fi
	bpftool -j map dump id "$map" | sed 's/{"key":\[/\n&/g' |
		sed -n 's/^{"key":\[\([^]]*\)\],"value":\[\([^]]*\)\].*/\1 \2/p' | sed 's/0x//g; s/[",]//g'
}

bpf_update() { # MAP-NAME KEY VALUE
	# shellcheck disable=SC2046 # a word for each byte
	run bpftool map update id "$(bpf_map "$1")" key hex $(bytes_of "$2") value hex $(bytes_of "$3")
}

bpf_delete() { # MAP-NAME KEY
	# shellcheck disable=SC2046
	run bpftool map delete id "$(bpf_map "$1")" key hex $(bytes_of "$2")
}

# Lines "KEY VALUE" of the networks of a binding.
bpf_peers() { # BINDING-KEY
	bpf_dump peers | awk -v key="$1" 'substr($1, 9, 40) == key'
}

# Those of them that have the value, separated by commas; "-" for none.
bpf_networks() { # BINDING-KEY VALUE
	local key value out=
	while read -r key value; do
		if [[ $value == "$2" ]]; then
			out+=,$(network_text "${key:48:32}" $(("16#$(host_order "${key:0:8}")" - 160)))
		fi
	done < <(bpf_peers "$1")
	out=${out#,}
	printf '%s' "${out:--}"
}

# For each binding of the interface what status shows; see dsr-egress.sh.
bpf_rows() {
	local key value name=tcp i
	while read -r key value; do
		if [[ ${key:36:2} == 11 ]]; then name=udp; else name=tcp; fi
		printf '%s %s %s' "$name" "$(endpoint_text "${key:0:32}" $((16#${key:32:4})))" \
			"$(endpoint_text "${value:0:32}" $((16#${value:32:4})))"
		for ((i = 48; i < 112; i += 16)); do
			printf ' %d' $((16#$(host_order "${value:i:16}")))
		done
		printf ' %s %s\n' "$(bpf_networks "$key" 00000000)" \
			"$(bpf_networks "$key" "$(host_order 00000001)")"
	done < <(bpf_dump bindings)
}

# --- up ------------------------------------------------------------------------------------------------

bpf_section() {
	local type
	type=$(link_type "$dev")
	case $type in
	ether | loopback) printf 'tc/ether' ;;
	none | ppp | ipip) printf 'tc/ip' ;;
	*) die "bpf does not know links of the type \"$type\"; use --method nft" ;;
	esac
}

has_clsact() {
	tc qdisc show dev "$dev" | grep -q '^qdisc clsact '
}

bpf_attach() {
	local handle=$BPF_HANDLE_GUEST section
	section=$(bpf_section)
	if ! has_clsact; then
		handle=$BPF_HANDLE_OWNER
		if ! attempt tc qdisc add dev "$dev" clsact; then
			die "no clsact qdisc for $dev (${said%%$'\n'*}); use --method nft"
		fi
	fi
	if ! attempt tc filter add dev "$dev" egress pref "$BPF_PREF" handle "$handle" \
		bpf direct-action object-file "$(bpf_object)" section "$section"; then
		if [[ $handle == "$BPF_HANDLE_OWNER" ]]; then tc qdisc del dev "$dev" clsact; fi
		die "the kernel did not take the program (${said%%$'\n'*}); use --method nft"
	fi
}

# Destinations first, then the binding, then the destinations that are no longer wanted: at no moment
# is anything translated that must not be.
bpf_bind() {
	local net key value wanted=' ' old
	old=$(bpf_peers "$(bpf_binding_key)")
	for net in "${balancers[@]}" "${peer_nets[@]}"; do
		# shellcheck disable=SC2086 # two words
		key=$(bpf_peer_key $net)
		if [[ $wanted == *" $key "* ]]; then continue; fi # as balancer and as network
		value=00000000
		if [[ " ${balancers[*]} " != *" $net "* ]]; then value=$(host_order 00000001); fi
		bpf_update peers "$key" "$value" || return
		wanted+="$key "
	done
	if [[ $(bpf_dump bindings) != *"$(bpf_binding_key) $(bpf_binding_value)"* ]]; then
		bpf_update bindings "$(bpf_binding_key)" "$(bpf_binding_value)$(printf '%064d' 0)" || return
	fi
	while read -r key _; do
		if [[ -n $key && $wanted != *" $key "* ]]; then bpf_delete peers "$key" || return; fi
	done <<<"$old"
}

bpf_up() {
	if [[ -z $(bpf_filter) ]]; then bpf_attach; fi
	if ! bpf_bind; then
		bpf_detach_unused
		die 'bpftool could not fill the maps'
	fi
}

# --- down ----------------------------------------------------------------------------------------------

# The filter without bindings, and the qdisc that came with it unless somebody else uses it by now.
bpf_detach_unused() {
	local handle
	read -r handle _ <<<"$(bpf_filter)"
	if [[ -z $handle || -n $(bpf_dump bindings) ]]; then return; fi
	run tc filter del dev "$dev" egress pref "$BPF_PREF" handle "$handle" bpf
	if [[ $handle == "$BPF_HANDLE_OWNER" && $is_dry_run == no &&
		-z $(tc filter show dev "$dev" egress)$(tc filter show dev "$dev" ingress) ]]; then
		tc qdisc del dev "$dev" clsact
	fi
}

bpf_down() {
	local key
	if [[ $(bpf_dump bindings) == *"$(bpf_binding_key) "* ]]; then
		bpf_delete bindings "$(bpf_binding_key)"
		while read -r key _; do
			if [[ -n $key ]]; then bpf_delete peers "$key"; fi
		done <<<"$(bpf_peers "$(bpf_binding_key)")"
	fi
	bpf_detach_unused
}
