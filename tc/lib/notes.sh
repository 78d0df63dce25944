#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What dsr-backend.sh has changed, to be put back: for each network namespace of each boot a file with
#   sysctl PATH BEFORE OURS
#   vip HEX DEV METHOD added|kept      kept: the address was there already
#   tunnel LINK HEX DEV                a tunnel, and the VIP that needs it

# shellcheck disable=SC2154 # is_dry_run is common.sh's
STATE=/run/culvert/dsr-backend-$(stat -L -c %i /proc/self/ns/net)
BOOT_ID=$(</proc/sys/kernel/random/boot_id)
readonly STATE BOOT_ID

notes=() # lines of $STATE behind the first

# A note is believed only while what it says is so: somebody may have changed it since, and another
# namespace may have come to bear the number of one that is gone.
load_notes() {
	local line lines=()
	if [[ -e $STATE ]]; then mapfile -t lines <"$STATE"; fi
	if [[ ${lines[0]:-} != "$BOOT_ID" ]]; then return; fi
	for line in "${lines[@]:1}"; do
		# shellcheck disable=SC2086 # words
		if note_holds $line; then notes+=("$line"); fi
	done
}

note_holds() { # WORDS...
	case $1 in
	sysctl) [[ -e $2 && $(<"$2") == "$4" ]] ;;
	vip) is_on_lo "$2" ;;
	tunnel) link_exists "$2" ;;
	*) return 1 ;;
	esac
}

is_on_lo() { # HEX
	[[ -n $(ip -o addr show dev lo to "$(text_of "$1")") ]]
}

save_notes() {
	if [[ $is_dry_run == yes ]]; then return; fi
	if ((${#notes[@]} == 0)); then
		rm -f "$STATE"
		rmdir "$(dirname "$STATE")" 2>/dev/null || true
		return
	fi
	mkdir -p "$(dirname "$STATE")"
	printf '%s\n' "$BOOT_ID" "${notes[@]}" >"$STATE"
}

# The first note that begins with these words.
find_note() { # WORDS
	local note
	for note in "${notes[@]}"; do
		if [[ "$note " == "$1 "* ]]; then
			printf '%s' "$note"
			return
		fi
	done
}

# Written down before it is done: whatever comes between, `down` knows of it.
add_note() { # WORDS
	notes+=("$1")
	save_notes
}

drop_notes() { # WORDS
	local note kept=()
	for note in "${notes[@]}"; do
		if [[ "$note " != "$1 "* ]]; then kept+=("$note"); fi
	done
	notes=("${kept[@]}")
}
