#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Compare nginx, HAProxy and culvert in its three modes: a client loads two web servers through each of
# them in turn, with wrk. The machines are Vagrant's, or network namespaces; what happens on them is
# host.sh's work, and `report` makes the tables. Whatever happens, what was started is stopped.
set -euo pipefail

HERE=$(dirname "$(realpath "$0")")
ROOT=$(dirname "$HERE")
readonly HERE ROOT
readonly BACKENDS=(b1 b2)
readonly KNOWN=(nginx haproxy proxy passthrough dsr)
readonly START_SECONDS=5 # that a run takes beside the measuring, for the estimate

place=${PLACE:-vagrant}
threads=${THREADS:-6}
connections=${CONNECTIONS:-200}
duration=${DURATION:-120s}
rounds=${ROUNDS:-1}
contestants=${CONTESTANTS:-nginx,haproxy,proxy,passthrough,dsr}
json=${JSON:-}
culvert=${CULVERT:-$ROOT/build/culvert}
hosts_file=$HERE/hosts.env
egress=${EGRESS:-nft}

usage() {
	cat <<-'END'
		Usage: vagrant/benchmark.sh [OPTIONS]

		Load two web servers through nginx (stream), HAProxy, and culvert as a proxy, in passthrough and
		in DSR, one after the other, with wrk; print a table for comparison.

		  --place vagrant|lab     vagrant: the four virtual machines of vagrant/Vagrantfile, which are
		                          up (default); lab: network namespaces on this machine, as root
		  -t, --threads N         of wrk; default 6
		  -c, --connections N     of wrk; default 200
		  -d, --duration TIME     of each measurement, like 30s or 2m; default 120s
		      --rounds N          so often in turn, and the table shows medians; default 1
		      --contestants LIST  some of nginx,haproxy,proxy,passthrough,dsr, in the order of the table
		      --json FILE         write the results there, too
		      --egress METHOD     of tc/dsr-egress.sh on the backends, for dsr: nft, bpf, act_nat or
		                          auto; default nft
		      --culvert PATH      lab: the program to test; default build/culvert
		      --hosts FILE        vagrant: the machines' addresses; default vagrant/hosts.env

		Each option can be set in the environment as well: PLACE, THREADS, CONNECTIONS, DURATION,
		ROUNDS, CONTESTANTS, JSON, EGRESS, CULVERT. Progress goes to standard error. Ctrl-C stops
		everything that was started.
	END
}

die() { # MESSAGE [STATUS]
	printf 'benchmark.sh: %s\n' "$1" >&2
	exit "${2:-1}"
}

usage_error() { # MESSAGE
	die "$1 (--help shows the usage)" 2
}

say() { # FORMAT ARGS...
	# shellcheck disable=SC2059 # the format is the caller's
	printf "$@" >&2
}

# --- the machines --------------------------------------------------------------------------------------

work=
settings=() # of hosts.env, as "NAME=VALUE"
reach=()    # the command that place_reach made

# In a session of its own: a Ctrl-C is for this script, which then stops things in their order. And in
# the background: a shell that waits hears signals at once.
on() { # HOST SCRIPT ARGS...
	local status=0
	place_reach "$@"
	setsid "${reach[@]}" </dev/null &
	wait "$!" || status=$?
	return "$status"
}

on_each() { # HOSTS -- SCRIPT ARGS...
	local hosts=() host
	while [[ $1 != -- ]]; do
		hosts+=("$1")
		shift
	done
	for host in "${hosts[@]}"; do on "$host" "${@:2}"; done
}

make_ready() {
	on client provision-client.sh --no-install
	on lb provision-lb.sh --no-install
	on_each "${BACKENDS[@]}" -- provision-backend.sh --no-install
	on lb host.sh facts >"$work/facts"
}

# --- a run ---------------------------------------------------------------------------------------------

start_servers() { # CONTESTANT
	on_each "${BACKENDS[@]}" -- host.sh start backend
	if [[ $1 == dsr ]]; then on_each "${BACKENDS[@]}" -- host.sh egress up >"$work/egress"; fi
	on lb host.sh start "$1"
	on client host.sh await "${BACKENDS[@]}"
}

# Backends start anew for each run: none begins with the connections that another has left them.
stop_servers() { # CONTESTANT
	on_each client lb "${BACKENDS[@]}" -- host.sh stop
	if [[ $1 == dsr ]]; then on_each "${BACKENDS[@]}" -- host.sh egress down; fi
}

run() { # ROUND CONTESTANT
	local output=$work/runs/$1.$2
	running=$2
	start_servers "$2"
	on client host.sh load "-t$threads" "-c$connections" "-d$duration" --latency "http://$VIP/" >"$output"
	stop_servers "$2"
	running=
	say '%s requests/s\n' "$(awk '$1 == "Requests/sec:" { print $2 }' "$output")"
}

run_all() {
	local round each done=0 total=$((rounds * ${#list[@]})) seconds
	seconds=$((total * (${duration%s} + START_SECONDS)))
	say '%d measurements of %s in %s: about %d min %d s\n' "$total" "$duration" "$(place_name)" \
		$((seconds / 60)) $((seconds % 60))
	mkdir "$work/runs"
	# Everybody once before anybody twice: a drift of the machine hits all alike.
	for ((round = 1; round <= rounds; round++)); do
		for each in "${list[@]}"; do
			done=$((done + 1))
			say '[%d/%d] %-12s ' "$done" "$total" "$each"
			run "$round" "$each"
		done
	done
}

# --- the end -------------------------------------------------------------------------------------------

running= # the contestant
is_up=no

# What is about to start something ends by itself; wrk has to be told.
stop_all() {
	say '\nstopping what runs\n'
	on client host.sh stop
	while [[ -n $(jobs -rp) ]]; do
		sleep 0.1
		on client host.sh stop
	done
	on_each lb "${BACKENDS[@]}" -- host.sh stop
	if [[ $running == dsr ]]; then on_each "${BACKENDS[@]}" -- host.sh egress down; fi
}

# From here on signals are for nobody; and a machine that does not answer is no reason to leave the
# others alone.
clean_up() {
	local status=$?
	trap '' INT TERM HUP
	set +e
	if [[ $is_up == yes ]] && ((status != 0)); then stop_all; fi
	if [[ -n $work ]]; then
		place_down
		rm -rf -- "$work"
	fi
	exit "$status"
}

# --- options -------------------------------------------------------------------------------------------

list=() # of contestants

set_option() { # NAME VALUE
	case $1 in
	--place) place=$2 ;;
	-t | --threads) threads=$2 ;;
	-c | --connections) connections=$2 ;;
	-d | --duration) duration=$2 ;;
	--rounds) rounds=$2 ;;
	--contestants) contestants=$2 ;;
	--json) json=$2 ;;
	--egress) egress=$2 ;;
	--culvert) culvert=$2 ;;
	--hosts) hosts_file=$2 ;;
	*) usage_error "\"$1\" is not known" ;;
	esac
}

parse_options() {
	while (($# > 0)); do
		case $1 in
		-h | --help)
			usage
			exit 0
			;;
		--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
		-[tcd]?*) set -- "${1:0:2}" "${1:2}" "${@:2}" ;;
		esac
		if (($# < 2)); then usage_error "$1 needs a value, or is not known"; fi
		set_option "$1" "$2"
		shift 2
	done
}

check_count() { # WHAT VALUE
	if [[ ! $2 =~ ^[1-9][0-9]{0,5}$ ]]; then usage_error "$1 is a number from 1, not \"$2\""; fi
}

# In seconds from here on.
check_duration() {
	if [[ ! $duration =~ ^([1-9][0-9]{0,4})([smh]?)$ ]]; then
		usage_error "--duration is like 30s or 2m, not \"$duration\""
	fi
	case ${BASH_REMATCH[2]} in
	m) duration=$((BASH_REMATCH[1] * 60))s ;;
	h) duration=$((BASH_REMATCH[1] * 3600))s ;;
	*) duration=${BASH_REMATCH[1]}s ;;
	esac
}

check_options() {
	local each
	if [[ ! $place =~ ^(vagrant|lab)$ ]]; then usage_error "--place is vagrant or lab, not \"$place\""; fi
	check_count --threads "$threads"
	check_count --connections "$connections"
	check_count --rounds "$rounds"
	check_duration
	if ((connections < threads)); then usage_error 'each of the threads needs a connection'; fi
	IFS=, read -r -a list <<<"$contestants"
	if ((${#list[@]} == 0)); then usage_error '--contestants names none'; fi
	for each in "${list[@]}"; do
		if [[ " ${KNOWN[*]} " != *" $each "* ]]; then usage_error "there is no contestant \"$each\""; fi
	done
	if [[ -n $(printf '%s\n' "${list[@]}" | sort | uniq -d) ]]; then
		usage_error '--contestants names one twice'
	fi
	if [[ ! -r $hosts_file ]]; then usage_error "--hosts: \"$hosts_file\" cannot be read"; fi
	if [[ -n $json && (-d $json || ! -w $(dirname "$json")) ]]; then
		usage_error "--json: \"$json\" cannot be written"
	fi
	culvert=$(realpath -m "$culvert")
}

main() {
	parse_options "$@"
	check_options
	# shellcheck source=vagrant/lib/place-lab.sh
	source "$HERE/lib/place-$place.sh"
	place_check
	settings+=(EGRESS="$egress")
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
	work=$(mktemp -d "/tmp/culvert-benchmark.$$.XXXXXX")
	place_up
	is_up=yes
	make_ready
	run_all
	if [[ -e $work/egress ]]; then
		sed -n '1s/^\([a-z_]*\): .*/egress \1/p' "$work/egress" >>"$work/facts"
	fi
	"$HERE/report" --title "$(place_name)" --facts "$work/facts" --contestants "$contestants" \
		--seconds "${duration%s}" \
		${json:+--json "$json"} "$work/runs"
}

main "$@"
