#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Method nft: stateless rewriting by nftables, in a table of its own for each binding. It hooks in
# where packets leave the IP stack (postrouting), behind source NAT: the hook is in every kernel that
# has nftables, and a datagram is translated whole, before it is cut into fragments.
# shellcheck disable=SC2154 # the binding is dsr-egress.sh's

nft_missing() {
	if ! has nft; then
		printf 'nft is not installed (Debian: nftables)'
	elif ((EUID == 0)) && ! nft list tables >/dev/null 2>&1; then
		printf 'the kernel has no nf_tables'
	fi
}

# Whatever an interface is called, no two share a prefix.
nft_prefix() {
	local out='' i char
	for ((i = 0; i < ${#dev}; i++)); do
		char=${dev:i:1}
		if [[ $char != [A-Za-z0-9.-] ]]; then printf -v char '_%02x' "'$char"; fi
		out+=$char
	done
	printf 'culvert_dsr_%s' "$out"
}

nft_table() {
	printf '%s_%s_%s_%s' "$(nft_prefix)" "$proto" "${backend_hex#"$MAPPED"}" "$backend_port"
}

# Names of the tables of all bindings of the interface.
nft_tables() {
	if [[ -n $(nft_missing) ]]; then return; fi
	nft list tables inet | sed -n 's/^table inet //p' |
		grep -xE "$(nft_prefix | sed 's/\./\\./g')_(tcp|udp)_[0-9a-f]+_[0-9]+" || true
}

# --- up ------------------------------------------------------------------------------------------------

# A set's elements.
nft_set() { # NETWORKS...
	local net out=
	# shellcheck disable=SC2086 # two words
	for net in "$@"; do out+=", $(network_text $net)"; done
	printf '{ %s }' "${out#, }"
}

# The comments are for nft_rows. nftables adjusts a UDP checksum for the port even where it is zero,
# that is, none; it has to be put back.
nft_replies() { # FAMILY
	if ((${#balancers[@]} > 0)); then
		printf '\t\t%s daddr %s counter return comment "left"\n' "$1" "$(nft_set "${balancers[@]}")"
	fi
	if ((${#peer_nets[@]} > 0)); then
		printf '\t\t%s daddr != %s counter return comment "left"\n' "$1" "$(nft_set "${peer_nets[@]}")"
	fi
	printf '\t\t%s saddr set %s counter comment "%s %s %s"\n' "$1" "$(text_of "$vip_hex")" \
		"$proto" "$(endpoint_text "$backend_hex" "$backend_port")" "$(endpoint_text "$vip_hex" "$vip_port")"
	if ((vip_port == backend_port)); then return; fi
	if [[ $proto == udp ]]; then
		printf '\t\tudp checksum 0 udp sport set %s udp checksum set 0 return\n' "$vip_port"
	fi
	printf '\t\t%s sport set %s\n' "$proto" "$vip_port"
}

# In place of an earlier table of this binding, in one transaction.
nft_ruleset() {
	local family=ip6 table
	table=$(nft_table)
	if is_v4 "$backend_hex"; then family=ip; fi
	printf 'table inet %s {\n}\ndelete table inet %s\ntable inet %s {\n' "$table" "$table" "$table"
	printf '\tchain postrouting {\n'
	printf '\t\ttype filter hook postrouting priority srcnat + 10; policy accept;\n'
	printf '\t\toifname "%s" %s saddr %s %s sport %s goto replies\n\t}\n' "$dev" "$family" \
		"$(text_of "$backend_hex")" "$proto" "$backend_port"
	printf '\tchain replies {\n'
	nft_replies "$family"
	printf '\t}\n}\n'
}

nft_up() {
	if [[ $is_dry_run == yes ]]; then
		printf 'nft -f - <<END\n%s\nEND\n' "$(nft_ruleset)"
	elif ! said=$(nft -f - <<<"$(nft_ruleset)" 2>&1); then
		die "nft did not take the rules (${said%%$'\n'*}); use another --method"
	fi
}

# --- down and status -----------------------------------------------------------------------------------

nft_down() {
	if nft_tables | grep -qxF "$(nft_table)"; then run nft delete table inet "$(nft_table)"; fi
}

# For each binding of the interface what status shows; see dsr-egress.sh.
nft_rows() {
	local table
	for table in $(nft_tables); do
		nft list table inet "$table" | awk '
			function after(word, i) { for (i = 1; i < NF; i++) if ($i == word) return $(i + 1) }
			function elements() {
				if (match($0, /\{.*\}/)) { text = substr($0, RSTART + 1, RLENGTH - 2); gsub(/ /, "", text) }
				else text = after($3 == "!=" ? "!=" : "daddr")
				return text
			}
			/ comment "left"/ {
				left += after("packets")
				if ($3 == "!=") only = elements(); else alone = elements()
			}
			/ comment "(tcp|udp) / {
				packets = after("packets"); bytes = after("bytes")
				gsub(/"/, ""); binding = $(NF - 2) " " $(NF - 1) " " $NF
			}
			END {
				if (binding != "") print binding, packets, bytes, left + 0, 0, alone ? alone : "-", only ? only : "-"
			}'
	done
}
