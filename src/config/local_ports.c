// SPDX-License-Identifier: Apache-2.0
#include "config/local_ports.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char range_path[] = "/proc/sys/net/ipv4/ip_local_port_range";
static const char reserved_path[] = "/proc/sys/net/ipv4/ip_local_reserved_ports";

// A decimal port at *text, which then stands behind it.
static bool take_port(const char **text, uint16_t *port)
{
	if (**text < '0' || **text > '9')
		return false;
	char *end;
	unsigned long number = strtoul(*text, &end, 10);
	if (number > UINT16_MAX)
		return false;
	*text = end;
	*port = (uint16_t)number;
	return true;
}

static bool parse_range(struct local_ports *ports, const char *text)
{
	if (!take_port(&text, &ports->min))
		return false;
	text += strspn(text, " \t");
	if (!take_port(&text, &ports->max))
		return false;
	text += strspn(text, " \t\n");
	return *text == '\0';
}

static bool parse_reserved(struct local_ports *ports, const char *text)
{
	text += strspn(text, " \t\n");
	while (*text) {
		uint16_t first;
		if (!take_port(&text, &first))
			return false;
		uint16_t last = first;
		if (*text == '-') {
			text++;
			if (!take_port(&text, &last))
				return false;
		}
		for (unsigned port = first; port <= last; port++)
			ports->reserved[port / 64] |= UINT64_C(1) << (port % 64);
		ports->has_reserved = true;
		text += strspn(text, ", \t\n");
	}
	return true;
}

int local_ports_parse(struct local_ports *ports, const char *range, const char *reserved,
		      struct err *err)
{
	struct local_ports parsed = {0};
	if (!parse_range(&parsed, range))
		return err_set(err, -EINVAL, "%s holds no range of ports", range_path);
	if (!parse_reserved(&parsed, reserved))
		return err_set(err, -EINVAL, "%s holds no list of ports", reserved_path);
	*ports = parsed;
	return 0;
}

// The first line, without a bound on its length: lists of ports can be long.
static int read_line(const char *path, char **line, struct err *err)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return err_sys(err, -errno, "cannot open %s", path);
	size_t size = 0;
	errno = 0;
	int code = 0;
	if (getline(line, &size, file) < 0 && ferror(file))
		code = err_sys(err, errno != 0 ? -errno : -EIO, "cannot read %s", path);
	fclose(file);
	return code;
}

int local_ports_read(struct local_ports *ports, struct err *err)
{
	char *range = NULL;
	char *reserved = NULL;
	int code = read_line(range_path, &range, err);
	if (code == 0)
		code = read_line(reserved_path, &reserved, err);
	if (code == 0)
		code = local_ports_parse(ports, range ? range : "", reserved ? reserved : "", err);
	free(range);
	free(reserved);
	return code;
}

static bool is_reserved(const struct local_ports *ports, unsigned port)
{
	return ports->reserved[port / 64] >> (port % 64) & 1;
}

unsigned local_ports_left(const struct local_ports *ports, uint16_t min, uint16_t max)
{
	unsigned n = 0;
	for (unsigned port = ports->min; port <= ports->max; port++)
		n += !is_reserved(ports, port) && (port < min || port > max);
	return n;
}

bool local_ports_overlap(const struct local_ports *ports, uint16_t min, uint16_t max)
{
	unsigned first = min > ports->min ? min : ports->min;
	unsigned last = max < ports->max ? max : ports->max;
	for (unsigned port = first; port <= last; port++) {
		if (!is_reserved(ports, port))
			return true;
	}
	return false;
}
