// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/traffic.h"

void traffic_gather(struct traffic *sum, const struct traffic_counters *counters)
{
	sum->total_connections += counter_read(&counters->flows_opened);
	sum->current_connections += counter_read(&counters->flows_current);
	sum->held_connections += counter_read(&counters->flows_held);
	sum->bytes_tx += counter_read(&counters->bytes_tx);
	sum->bytes_rx += counter_read(&counters->bytes_rx);
	sum->packets_tx += counter_read(&counters->packets_tx);
	sum->packets_rx += counter_read(&counters->packets_rx);
}

void traffic_add(struct traffic *sum, const struct traffic *part)
{
	sum->total_connections += part->total_connections;
	sum->current_connections += part->current_connections;
	sum->held_connections += part->held_connections;
	sum->bytes_tx += part->bytes_tx;
	sum->bytes_rx += part->bytes_rx;
	sum->packets_tx += part->packets_tx;
	sum->packets_rx += part->packets_rx;
}

void traffic_subtract(struct traffic *sum, const struct traffic *before)
{
	sum->total_connections -= before->total_connections;
	sum->current_connections -= before->current_connections;
	sum->held_connections -= before->held_connections;
	sum->bytes_tx -= before->bytes_tx;
	sum->bytes_rx -= before->bytes_rx;
	sum->packets_tx -= before->packets_tx;
	sum->packets_rx -= before->packets_rx;
}
