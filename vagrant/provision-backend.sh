#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Make a machine ready to be a backend: nginx, and what tc/dsr-egress.sh needs. May be repeated.
# Usage: provision-backend.sh [--no-install]
set -euo pipefail

# shellcheck source=vagrant/lib/common.sh
source "$(dirname "$(realpath "$0")")/lib/common.sh"

main() {
	need_settings HOST TREE RUN_DIR
	if wants_install "$@"; then "$TREE/tools/install-packages" procps nginx nftables; fi
	need_programs nginx nft
	own_dev >/dev/null
}

main "$@"
