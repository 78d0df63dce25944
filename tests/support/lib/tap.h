// SPDX-License-Identifier: Apache-2.0
// A tap device: the test is the virtual machine behind it, and sends frames as that would. Some are
// super-frames.
#pragma once

#include <linux/virtio_net.h>
#include <stdint.h>

// A device of that name in this network namespace, which is up. Its file, or -1 where there are no
// such devices.
int tap_open(const char *name);

// The device receives a frame whose checksums are complete.
void tap_send(int tap, uint8_t *frame, uint32_t len);
// The device receives a super-frame of UDP over IPv4, of segments of so many bytes. The kind is one
// of VIRTIO_NET_HDR_GSO_....
void tap_send_super_frame(int tap, uint8_t *frame, uint32_t len, uint8_t kind, uint16_t segment);
