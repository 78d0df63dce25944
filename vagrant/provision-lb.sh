#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Make a machine ready to be the balancer: HAProxy, nginx with its stream module, culvert built from
# this tree; and the virtual address. May be repeated; --no-install does the last of it only.
# Usage: provision-lb.sh [--no-install]
set -euo pipefail

# shellcheck source=vagrant/lib/common.sh
source "$(dirname "$(realpath "$0")")/lib/common.sh"

readonly BUILD_JOBS=2 # more do not fit into 1 GiB of memory

install_all() {
	"$TREE/tools/install-packages" make procps nftables haproxy nginx libnginx-mod-stream
	make -C "$TREE" deps
	make -C "$TREE" -j "$BUILD_JOBS" build/culvert
}

main() {
	local dev
	need_settings HOST LB VIP TREE RUN_DIR
	if wants_install "$@"; then install_all; fi
	need_programs nft haproxy nginx "${CULVERT:-$TREE/build/culvert}"
	dev=$(own_dev)
	ip addr replace "$VIP/32" dev "$dev"
}

main "$@"
