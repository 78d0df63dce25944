// SPDX-License-Identifier: Apache-2.0
// The NAT port range inside net.ipv4.ip_local_reserved_ports, for as long as culvert runs.
// Thread: control. Fed by: app, with the range of the configuration.
// Invariant: `added` holds exactly the ports that this process has put into the kernel's list.
#include "culvert/control/firewall.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/port_set.h"
#include "culvert/base/log.h"

#define SYSCTL_PATH "/proc/sys/net/ipv4/ip_local_reserved_ports"

// The kernel takes less than a page at a time.
enum { WRITE_MAX = 2048 };

struct reserved_ports {
	struct port_set added;
	uint16_t min;
	uint16_t max;
	// Of the longest list there can be: the kernel gives the file to one read only, and cuts it
	// to what that read has room for.
	char text[PORT_SET_TEXT_MAX + 1];
};

static int read_list(struct reserved_ports *ports, struct port_set *list, struct err *err)
{
	int fd = open(SYSCTL_PATH, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ports->text, sizeof(ports->text) - 1);
	int code = n < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (code)
		return err_sys(err, code, "cannot read %s", SYSCTL_PATH);
	ports->text[n] = '\0';
	if (!port_set_parse(ports->text, list))
		return err_set(err, -EINVAL, "%s does not hold a list of ports", SYSCTL_PATH);
	return 0;
}

// The first write to an open file replaces the list and each further one adds to it. So a long list
// goes in pieces, cut after a comma.
static int write_pieces(int fd, const char *text, size_t length)
{
	size_t done = 0;
	do {
		size_t piece = length - done;
		if (piece > WRITE_MAX) {
			piece = WRITE_MAX;
			while (text[done + piece - 1] != ',')
				piece--;
		}
		if (write(fd, text + done, piece) < 0)
			return -errno;
		done += piece;
	} while (done < length);
	return 0;
}

static int write_list(struct reserved_ports *ports, const struct port_set *list, struct err *err)
{
	size_t length = port_set_format(list, ports->text);
	ports->text[length++] = '\n'; // alone it empties the list
	int fd = open(SYSCTL_PATH, O_WRONLY | O_CLOEXEC);
	int code = fd < 0 ? -errno : write_pieces(fd, ports->text, length);
	if (fd >= 0)
		close(fd);
	if (code)
		return err_set(err, code,
			       "cannot write %s: %s; run as root, or set [firewall] manage = false "
			       "and reserve the range with: sysctl -w "
			       "net.ipv4.ip_local_reserved_ports=%u-%u",
			       SYSCTL_PATH, strerrordesc_np(-code), ports->min, ports->max);
	return 0;
}

static int reserve(struct reserved_ports *ports, struct err *err)
{
	struct port_set list;
	int code = read_list(ports, &list, err);
	if (code)
		return code;
	for (unsigned port = ports->min; port <= ports->max; port++) {
		if (port_set_has(&list, port))
			continue;
		port_set_add(&list, port);
		port_set_add(&ports->added, port);
	}
	// Nothing to add means nothing to write: a range reserved by the operator needs no root.
	return port_set_is_empty(&ports->added) ? 0 : write_list(ports, &list, err);
}

static int release(struct reserved_ports *ports, struct err *err)
{
	struct port_set list;
	if (port_set_is_empty(&ports->added))
		return 0;
	int code = read_list(ports, &list, err);
	if (code)
		return code;
	port_set_subtract(&list, &ports->added);
	return write_list(ports, &list, err);
}

int reserved_ports_open(struct reserved_ports **ports, uint16_t min, uint16_t max, struct err *err)
{
	if (min > max)
		return err_set(err, -EINVAL, "ports %u-%u are no range", min, max);
	struct reserved_ports *opened = calloc(1, sizeof(*opened));
	if (!opened)
		return err_sys(err, -ENOMEM, "reserved ports");
	opened->min = min;
	opened->max = max;
	int code = reserve(opened, err);
	if (code) {
		free(opened);
		return code;
	}
	*ports = opened;
	return 0;
}

void reserved_ports_close(struct reserved_ports *ports)
{
	if (!ports)
		return;
	struct err err = {0};
	if (release(ports, &err))
		log_warn("firewall", "the NAT ports stay reserved: %s", err.message);
	free(ports);
}
