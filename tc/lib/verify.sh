#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What dsr-egress.sh verify looks at. A line per finding: "ok", "note" for what may be as it should,
# "FAIL" with what to do about it.
# shellcheck disable=SC2154 # the binding is dsr-egress.sh's

n_failures=0

pass() {
	printf 'ok    %s\n' "$1"
}

note() {
	printf 'note  %s\n' "$1"
}

fail() {
	printf 'FAIL  %s\n' "$1"
	n_failures=$((n_failures + 1))
}

# An address of each network of clients: of those that were named, or one anywhere in the world.
sample_clients() {
	local net hex
	if ((${#peer_nets[@]} > 0)); then
		for net in "${peer_nets[@]}"; do
			read -r hex _ <<<"$net"
			# The network's own address is nobody's; the one behind it may be.
			text_of "${hex:0:31}$(printf '%x' $((16#${hex:31} | 1)))"
			printf '\n'
		done
	elif is_v4 "$backend_hex"; then
		printf '198.51.100.1\n'
	else
		printf '2001:4860::1\n'
	fi
}

# --- rules ---------------------------------------------------------------------------------------------

# The row of the binding, from the method that has it; sets $method.
find_row() {
	local each row
	for each in $(selected_methods); do
		row=$("${each}_rows" | grep -F "$proto $(endpoint_text "$backend_hex" "$backend_port") " | head -n 1) || true
		if [[ -n $row ]]; then
			method=$each
			found_row=$row
			return
		fi
	done
	return 1
}

verify_balancers() { # NETWORKS-LEFT-ALONE ONLY-NETWORKS
	local net
	if [[ $1 == - && $2 == - ]]; then
		note 'no balancer is excepted: health checks of this port would fail'
	fi
	for net in "${balancers[@]}"; do
		# shellcheck disable=SC2086 # two words
		net=$(network_text $net)
		if [[ ,$1, == *",$net,"* ]]; then
			pass "replies to the balancer $net stay as they are"
		elif [[ $2 != - ]]; then
			note "the balancer $net is not excepted; right if it is in none of $2"
		else
			fail "replies to the balancer $net are translated, and its health checks fail: run up with --balancer ${net%/*}"
		fi
	done
}

verify_rules() {
	local found_row='' vip packets alone only
	if ! find_row; then
		fail "no rules for $proto $(endpoint_text "$backend_hex" "$backend_port") on $dev: run up"
		return
	fi
	read -r _ _ vip packets _ _ _ alone only <<<"$found_row"
	if [[ -n $vip_hex && $vip != "$(endpoint_text "$vip_hex" "$vip_port")" ]]; then
		fail "replies leave as $vip: run up with the --vip that is wanted"
	else
		pass "method $method: replies leave as $vip ($packets packets up to now)"
	fi
	verify_balancers "$alone" "$only"
	if [[ $method == bpf ]]; then verify_program "$vip"; fi
}

# --- the program on a packet of its own ------------------------------------------------------------------

# Ethernet, IP and TCP or UDP, in hexadecimal digits; the program does not ask for right checksums.
trial_packet() { # CLIENT-HEX
	local ports number l4
	number=$(printf '%02x' "$(proto_number "$proto")")
	ports=$(printf '%04xc350' "$backend_port")
	l4=${ports}00080000
	if [[ $proto == tcp ]]; then l4=${ports}00000001000000015010ffff00000000; fi
	if is_v4 "$backend_hex"; then
		printf '0200000000010200000000020800%s%04x0000400040%s0000' 4500 $((20 + ${#l4} / 2)) "$number"
		printf '%s%s%s' "${backend_hex:24}" "${1:24}" "$l4"
	else
		printf '02000000000102000000000286dd60000000%04x%s40' $((${#l4} / 2)) "$number"
		printf '%s%s%s' "$backend_hex" "$1" "$l4"
	fi
}

# Run the loaded program on a reply to CLIENT; prints "ADDR:PORT", the source that it leaves with.
run_program() { # CLIENT-HEX
	local id out byte hex=
	read -r _ id <<<"$(bpf_filter)"
	# shellcheck disable=SC2059 # the format is the packet
	out=$(printf "$(trial_packet "$1" | sed 's/../\\x&/g')" |
		bpftool -j prog run id "$id" data_in - data_out - | sed -n 's/.*"data_out":\[\([0-9,]*\)\].*/\1/p')
	for byte in ${out//,/ }; do printf -v hex '%s%02x' "$hex" "$byte"; done
	if is_v4 "$backend_hex"; then
		endpoint_text "$MAPPED${hex:52:8}" $((16#${hex:68:4}))
	else
		endpoint_text "${hex:44:32}" $((16#${hex:108:4}))
	fi
}

verify_program() { # VIP
	local client source
	if [[ $(bpf_section) != tc/ether ]]; then return; fi # only these can be run on their own
	for client in $(sample_clients); do
		source=$(run_program "$(hex_of "$client")") || source='nothing'
		if [[ $source == "$1" ]]; then
			pass "the program, run on a reply to $client, makes it one of $1"
		else
			fail "the program, run on a reply to $client, makes it one of $source: run down, then up"
		fi
	done
}

# --- the host ------------------------------------------------------------------------------------------

verify_link() {
	if ! link_exists "$dev"; then
		fail "there is no interface \"$dev\""
	elif [[ $(ip -o link show dev "$dev") != *[\<,]UP[,\>]* ]]; then
		fail "$dev is down: ip link set $dev up"
	else
		pass "$dev is up"
	fi
}

verify_backend() {
	local addr flag=-t
	addr=$(text_of "$backend_hex")
	if [[ $proto == udp ]]; then flag=-u; fi
	if [[ -n $(ip -o addr show to "$addr") ]]; then
		pass "$addr is an address of this host"
		if has ss && [[ -z $(ss -H -l -n "$flag" "sport = :$backend_port") ]]; then
			note "nothing listens on $proto port $backend_port"
		fi
	elif [[ $(ip route get "$addr" 2>/dev/null) == *" dev $dev "* ]]; then
		fail "$addr is no address of this host: is --backend right?"
	else
		note "$addr is no address of this host; right if it is a container's here"
	fi
}

# Strict filtering asks the same question of what comes in, so a wrong route loses requests as well.
verify_route() { # CLIENT
	local route out strict
	if ! route=$(ip route get "$1" from "$(text_of "$backend_hex")" 2>/dev/null) &&
		! route=$(ip route get "$1" 2>/dev/null); then
		fail "there is no route to clients like $1: ip route add default via GATEWAY dev $dev"
		return
	fi
	out=$(sed -n 's/.* dev \([^ ]*\).*/\1/p;q' <<<"$route")
	if [[ $out == "$dev" ]]; then
		pass "replies to clients like $1 leave by $dev"
		return
	fi
	fail "replies to clients like $1 leave by $out, where nothing translates them: run up with --dev $out, or mend the route"
	strict=$(rp_filter)
	if [[ $strict == 1 ]]; then
		fail "net.ipv4.conf.$dev.rp_filter is 1, and drops what such clients send: sysctl net.ipv4.conf.$dev.rp_filter=2"
	fi
}

# What is in force for the interface: the greater of its own and that for all.
rp_filter() {
	if ! is_v4 "$backend_hex"; then return; fi
	cat /proc/sys/net/ipv4/conf/{all,"$dev"}/rp_filter 2>/dev/null | sort -n | tail -n 1
}

verify() {
	local client
	verify_link
	verify_rules
	verify_backend
	for client in $(sample_clients); do verify_route "$client"; done
	if ((n_failures > 0)); then exit 1; fi
	note 'seen from here only: switches and clouds may refuse a source that is not the port'\''s own (anti-spoofing)'
}
