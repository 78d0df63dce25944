#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Method act_nat: the classic one. The root qdisc is htb (ours, or one that is there already), u32
# filters pick the replies, the action nat rewrites their source address. It knows IPv4 only, and no
# ports. A binding has two preferences of its own: the first lets replies to the balancer pass, the
# second translates.
# shellcheck disable=SC2154 # the binding is dsr-egress.sh's

readonly NAT_QDISC=c147: # the handle by which our htb is known
readonly NAT_FIRST_PREF=1000
readonly NAT_LAST_PREF=1998
readonly NAT_PROBE_INDEX=3242525799

act_nat_missing() {
	if ! has tc; then
		printf 'tc is not installed (Debian: iproute2)'
	elif ((EUID == 0)) && [[ $is_dry_run == no ]] && ! act_nat_in_kernel; then
		printf 'the kernel has no act_nat (CONFIG_NET_ACT_NAT)'
	fi
}

# Made and removed again, on no interface: modules are loaded by that as well.
act_nat_in_kernel() {
	tc actions add action nat egress 192.0.2.1/32 192.0.2.2 index "$NAT_PROBE_INDEX" 2>/dev/null || return
	tc actions del action nat index "$NAT_PROBE_INDEX"
}

# Why this binding is none for act_nat.
act_nat_unfit() {
	if ! is_v4 "$backend_hex"; then
		printf 'it knows IPv4 only'
	elif ((backend_port != vip_port)); then
		printf 'it cannot change ports, and %s is not %s' "$backend_port" "$vip_port"
	fi
}

# --- what is there -------------------------------------------------------------------------------------

# "KIND HANDLE" of the root qdisc. The handle 0: is one that the kernel chose by itself.
nat_root() {
	tc qdisc show dev "$dev" root 2>/dev/null | awk 'NR == 1 { print $2, $3 }'
}

# Where filters go: our htb or another's; nothing when there is none.
nat_parent() {
	local kind handle
	read -r kind handle <<<"$(nat_root)"
	if [[ $kind == htb ]]; then printf '%s' "$handle"; fi
}

# Lines "PREF PROTO BACKEND-HEX PORT DESTINATION VIP PACKETS BYTES", for each filter of ours; the
# destination is HEX/MASK. "-" stands for what a filter does not have.
nat_filters() {
	local parent
	parent=$(nat_parent)
	if [[ -z $parent ]]; then return; fi
	tc -s filter show dev "$dev" parent "$parent" | awk -v first="$NAT_FIRST_PREF" -v last="$NAT_LAST_PREF" '
		function flush() {
			if (src != "" && proto != "" && port != "" && pref >= first && pref <= last + 1)
				print pref, proto, src, port, dst, vip, packets, bytes
			src = proto = port = ""
			dst = vip = "-"
			packets = bytes = 0
		}
		/^filter / { flush(); for (i = 1; i < NF; i++) if ($i == "pref") pref = $(i + 1) }
		$1 == "match" && $4 == 12 { src = substr($2, 1, 8) }
		$1 == "match" && $4 == 8 { proto = substr($2, 3, 2) == "06" ? "tcp" : "udp" }
		$1 == "match" && $4 == 20 { port = substr($2, 1, 4) }
		$1 == "match" && $4 == 16 { dst = $2 }
		/ nat egress / { for (i = 1; i < NF; i++) if ($i == "egress") vip = $(i + 2) }
		$1 == "Sent" { bytes = $2; packets = $4 }
		END { flush() }'
}

# Preferences that this binding has.
nat_prefs() {
	nat_filters | awk -v binding="$proto ${backend_hex#"$MAPPED"} $(printf '%04x' "$backend_port")" '
		$2 " " $3 " " $4 == binding { print $1 }' | sort -un
}

nat_free_pref() {
	local pref used
	used=$(nat_filters | cut -d' ' -f1)
	for ((pref = NAT_FIRST_PREF; pref <= NAT_LAST_PREF; pref += 2)); do
		if ! grep -qxE "$pref|$((pref + 1))" <<<"$used"; then
			printf '%d' "$pref"
			return
		fi
	done
	die "$dev has no room for another binding"
}

# --- up ------------------------------------------------------------------------------------------------

nat_make_root() {
	local kind handle
	read -r kind handle <<<"$(nat_root)"
	if [[ $kind == htb ]]; then return; fi
	if [[ -n $handle && $handle != 0: ]]; then
		die "the root qdisc of $dev is $kind $handle, which act_nat would have to replace by htb; use --method bpf or nft"
	fi
	run tc qdisc add dev "$dev" root handle "$NAT_QDISC" htb
}

# Only whole packets whose header has no options have their ports where u32 looks for them.
nat_filter() { # PARENT PREF DESTINATION-MATCH ACTION...
	local parent=$1 pref=$2 number=6
	local -a destination
	read -r -a destination <<<"$3"
	shift 3
	if [[ $proto == udp ]]; then number=17; fi
	run tc filter add dev "$dev" parent "$parent" protocol ip pref "$pref" u32 \
		match ip src "$(text_of "$backend_hex")/32" match ip protocol "$number" 0xff \
		match ip ihl 5 0xf match ip nofrag match ip sport "$backend_port" 0xffff \
		"${destination[@]}" "$@"
}

# "ADDR/LENGTH": of an address alone as well.
nat_prefix() { # HEX BITS
	printf '%s/%d' "$(text_of "$1")" $(($2 - 96))
}

nat_add_filters() { # PARENT PREF
	local net
	local -a nat=(action nat egress "$(text_of "$backend_hex")/32" "$(text_of "$vip_hex")")
	# In somebody else's htb, let their filters classify it afterwards.
	if [[ $1 != "$NAT_QDISC" ]]; then nat+=(continue); fi
	for net in "${balancers[@]}"; do
		# shellcheck disable=SC2086 # two words
		nat_filter "$1" "$2" "match ip dst $(nat_prefix $net)" flowid "$1" || return
	done
	if ((${#peer_nets[@]} == 0)); then nat_filter "$1" $(($2 + 1)) '' "${nat[@]}" || return; fi
	for net in "${peer_nets[@]}"; do
		# shellcheck disable=SC2086
		nat_filter "$1" $(($2 + 1)) "match ip dst $(nat_prefix $net)" "${nat[@]}" || return
	done
}

nat_remove() { # PARENT PREFS...
	local parent=$1 pref
	shift
	for pref in "$@"; do run tc filter del dev "$dev" parent "$parent" pref "$pref"; done
}

# The new filters come first, then the old ones go: no reply meanwhile leaves untranslated.
act_nat_up() {
	local parent pref
	local -a old
	mapfile -t old < <(nat_prefs)
	pref=$(nat_free_pref)
	nat_make_root
	parent=$(nat_parent)
	if [[ $is_dry_run == yes && -z $parent ]]; then parent=$NAT_QDISC; fi
	if ! nat_add_filters "$parent" "$pref"; then
		nat_remove "$parent" "$pref" $((pref + 1)) 2>/dev/null || true
		nat_remove_unused_root
		die 'tc did not take the filters'
	fi
	nat_remove "$parent" "${old[@]}"
}

# --- down and status -----------------------------------------------------------------------------------

nat_remove_unused_root() {
	if [[ $(nat_parent) == "$NAT_QDISC" && -z $(tc filter show dev "$dev" parent "$NAT_QDISC") &&
		-z $(tc class show dev "$dev") ]]; then
		run tc qdisc del dev "$dev" root
	fi
}

act_nat_down() {
	local -a prefs
	if ! has tc || ! link_exists "$dev"; then return; fi
	mapfile -t prefs < <(nat_prefs)
	nat_remove "$(nat_parent)" "${prefs[@]}"
	nat_remove_unused_root
}

nat_network_text() { # HEX/MASK
	local mask=$((16#${1#*/})) bits=96
	for (( ; mask & 0x80000000; mask = mask << 1 & 0xffffffff)); do bits=$((bits + 1)); done
	network_text "$MAPPED${1%/*}" "$bits"
}

# For each binding of the interface what status shows; see dsr-egress.sh.
act_nat_rows() {
	local name src port dst vip packets bytes key
	local -A vips=() sums_packets=() sums_bytes=() alone=() only=()
	if ! has tc || ! link_exists "$dev"; then return; fi
	while read -r _ name src port dst vip packets bytes; do
		key="$name $(endpoint_text "$MAPPED$src" $((16#$port)))"
		if [[ $vip == - ]]; then
			alone[$key]+=,$(nat_network_text "$dst")
			continue
		fi
		vips[$key]=$vip:$((16#$port))
		sums_packets[$key]=$((${sums_packets[$key]:-0} + packets))
		sums_bytes[$key]=$((${sums_bytes[$key]:-0} + bytes))
		if [[ $dst != - ]]; then only[$key]+=,$(nat_network_text "$dst"); fi
	done < <(nat_filters)
	for key in "${!vips[@]}"; do
		printf '%s %s %s %s - - %s %s\n' "$key" "${vips[$key]}" "${sums_packets[$key]}" \
			"${sums_bytes[$key]}" "$(sed 's/^,//; s/^$/-/' <<<"${alone[$key]:-}")" \
			"$(sed 's/^,//; s/^$/-/' <<<"${only[$key]:-}")"
	done
}
