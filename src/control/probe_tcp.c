// SPDX-License-Identifier: Apache-2.0
// health_check = "tcp": whoever accepts a connection is well.
#include <sys/socket.h>

#include "control/probe_kind.h"

static void on_connected(struct probe *probe)
{
	probe_pass(probe, "connected in %.1f ms", probe_elapsed_ms(probe));
}

const struct probe_kind probe_tcp = {
	.socket_type = SOCK_STREAM,
	.on_connected = on_connected,
};
