#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What benchmark.sh has done on a machine, be it a virtual one or a network namespace. Who it is and
# where the others are comes in the environment; see lib/common.sh. All that runs is noted in
# $RUN_DIR/running, so that `stop` ends it, whoever was interrupted.
set -euo pipefail

HERE=$(dirname "$(realpath "$0")")
readonly HERE

# shellcheck source=vagrant/lib/common.sh
source "$HERE/lib/common.sh"

readonly READY_SECONDS=30 BACKENDS_SECONDS=30 STOP_SECONDS=10
readonly PAGE_BYTES=612
readonly CULVERT=${CULVERT:-${TREE:-}/build/culvert}

usage() {
	cat <<-'END'
		Usage: vagrant/host.sh COMMAND      (benchmark.sh calls it, with the environment it needs)

		  start SERVER     start a server, and return when it is ready: on a backend "backend"; on the
		                   balancer "nginx", "haproxy", or culvert as "proxy", "passthrough" or "dsr"
		  await NAMES      return when each of these backends has answered at the VIP
		  load ARGS        run wrk, with its output
		  egress up|down   let the backend's answers leave as those of the VIP, for "dsr", or no longer
		  facts            print the machine and the versions of what runs here
		  stop             end whatever was started here, and remove its files
	END
}

# --- processes -----------------------------------------------------------------------------------------

# A number may come to name another process; this tells it.
start_time() { # PID
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
	read -r -a stat <<<"${stat##*) }"
	printf '%s' "${stat[19]}"
}

# Be another program from here on. It is noted before it runs: there is no moment in which `stop` would
# miss it. In a session of its own, its group has its number.
become() { # NAME CMD...
	printf '%s %s\n' "$$" "$(start_time "$$")" >"$RUN_DIR/$1.note"
	mv "$RUN_DIR/$1.note" "$RUN_DIR/running/$1"
	exec "${@:2}"
}

group_lives() { # PID
	ps -e -o pgid=,stat= | awk -v group="$1" '$1 == group && $2 !~ /^Z/ { n++ } END { exit n == 0 }'
}

end_group() { # PID
	local signal deadline
	for signal in TERM KILL; do
		kill -s "$signal" -- "-$1" 2>/dev/null || return 0
		deadline=$((SECONDS + STOP_SECONDS))
		while group_lives "$1"; do
			if ((SECONDS > deadline)); then continue 2; fi
			sleep 0.02
		done
		return 0
	done
	die "process $1 on $HOST does not end"
}

stop() {
	local file pid start now
	for file in "$RUN_DIR"/running/*; do
		if [[ ! -e $file ]]; then continue; fi
		read -r pid start <"$file"
		now=$(start_time "$pid")
		# Its group may outlive it, and nobody gets the number before that.
		if [[ -z $now || $now == "$start" ]]; then end_group "$pid"; fi
	done
	if [[ $HOST == lb ]]; then open_vip; fi
	rm -rf -- "$RUN_DIR"
}

# When culvert has ended in mode dsr, the kernel answers nobody at the VIP for half a minute, so that a
# restart breaks no connection. Here the next contestant is to answer.
open_vip() {
	nft delete table netdev culvert_restart 2>/dev/null || true
}

# --- servers -------------------------------------------------------------------------------------------

render() { # TEMPLATE
	local name script=
	for name in HOST VIP B1 B2 RUN_DIR; do script+="s|@$name@|${!name}|g;"; done
	sed "$script" "$HERE/templates/$1" >"$RUN_DIR/$1"
}

make_page() {
	mkdir -p "$RUN_DIR/page"
	{
		printf '<!DOCTYPE html>\n<title>A page to be fetched</title>\n'
		head -c "$PAGE_BYTES" /dev/zero | tr '\0' '.'
	} | head -c "$PAGE_BYTES" >"$RUN_DIR/page/index.html"
}

command=() # of a server
ready=     # how it is seen that it is: by a port of this host's, or by a line in its log

prepare() { # SERVER
	local file
	case $1 in
	backend | nginx)
		file=$1.conf
		command=(nginx -e "$RUN_DIR/error.log" -p "$RUN_DIR" -c "$RUN_DIR/$file")
		;;
	haproxy)
		file=haproxy.cfg
		command=(haproxy -db -f "$RUN_DIR/$file")
		;;
	proxy | passthrough | dsr)
		file=culvert.toml
		command=("$CULVERT" "--$1" --config "$RUN_DIR/$file")
		;;
	*) die "no server \"$1\" (host.sh --help shows them)" ;;
	esac
	case $1 in
	backend) ready="port_answers $(own_addr)" ;;
	nginx | haproxy) ready="port_answers $VIP" ;;
	*) ready="grep -qsw ready $RUN_DIR/$1.log" ;;
	esac
	render "$file"
	if [[ $1 == backend ]]; then make_page; fi
}

port_answers() { # ADDR
	(exec 3<>"/dev/tcp/$1/80") 2>/dev/null
}

start() { # SERVER
	local deadline=$((SECONDS + READY_SECONDS))
	mkdir -p "$RUN_DIR/running"
	prepare "$1"
	setsid "$0" become "$1" "${command[@]}" >"$RUN_DIR/$1.log" 2>&1 </dev/null &
	until $ready; do
		if [[ -z $(jobs -rp) ]] || ((SECONDS > deadline)); then
			cat "$RUN_DIR/$1.log" "$RUN_DIR/error.log" 2>/dev/null | tail -n 20 >&2 || true
			die "$1 did not come up on $HOST; above are the last lines of its log"
		fi
		sleep 0.05
	done
}

# --- the other commands --------------------------------------------------------------------------------

# Not any longer when `stop` has taken the directory away.
await_backends() { # NAMES...
	local name deadline=$((SECONDS + BACKENDS_SECONDS))
	local -A missing=()
	mkdir -p "$RUN_DIR"
	for name in "$@"; do missing[$name]=yes; done
	while ((${#missing[@]} > 0)); do
		if ((SECONDS > deadline)) || [[ ! -d $RUN_DIR ]]; then
			die "no answer from ${!missing[*]} at $VIP"
		fi
		if name=$(curl -s -m 1 "http://$VIP/name") && [[ -n $name ]]; then
			unset "missing[$name]"
		else
			sleep 0.05
		fi
	done
}

load() { # ARGS...
	mkdir -p "$RUN_DIR/running"
	setsid "$0" become wrk wrk "$@" </dev/null &
	wait "$!"
}

egress() { # up|down
	local args=("$1" --dev "$(own_dev)" --backend "$(own_addr):80")
	if [[ $1 == up ]]; then args+=(--vip "$VIP:80" --balancer "$LB" --method "$EGRESS"); fi
	"$TREE/tc/dsr-egress.sh" "${args[@]}"
}

# "NAME VALUE" lines.
facts() {
	printf 'processor %s\n' "$(lscpu | sed -n 's/^Model name: *//p')"
	printf 'processors %s\n' "$(nproc)"
	printf 'kernel %s\n' "$(uname -r)"
	printf 'nginx %s\n' "$(nginx -v 2>&1 | sed 's|.*/||')"
	printf 'haproxy %s\n' "$(haproxy -v | awk '{ print $3; exit }')"
	printf 'culvert %s\n' "$("$CULVERT" --version | awk '{ print $NF; exit }')"
}

main() {
	local name=${1:-}
	case " $* " in *' --help '* | *' -h '*) name=--help ;; esac
	if [[ $name == --help ]]; then
		usage
		return
	fi
	need_settings HOST VIP LB B1 B2 TREE RUN_DIR
	shift || true
	case $name in
	start | become | load | egress | facts | stop) "$name" "$@" ;;
	await) await_backends "$@" ;;
	*) die "no command \"$name\" (host.sh --help shows them)" ;;
	esac
}

main "$@"
