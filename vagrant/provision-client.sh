#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Make a machine ready to be the client: wrk, which loads, and curl. May be repeated.
# Usage: provision-client.sh [--no-install]
set -euo pipefail

# shellcheck source=vagrant/lib/common.sh
source "$(dirname "$(realpath "$0")")/lib/common.sh"

main() {
	need_settings HOST CLIENT TREE RUN_DIR
	if wants_install "$@"; then "$TREE/tools/install-packages" wrk curl procps; fi
	need_programs wrk curl
	own_dev >/dev/null
}

main "$@"
