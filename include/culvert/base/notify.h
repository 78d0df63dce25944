// SPDX-License-Identifier: Apache-2.0
// Telling the service manager how we are, by systemd's protocol: sd_notify(3),
// sd_watchdog_enabled(3). Without a manager that has asked for it (NOTIFY_SOCKET), and when it does
// not listen, nothing happens. Nothing here waits. Called by: control.
#pragma once

#include <stdint.h>

// Starting, or reloading, is over. `status` is for `systemctl status`.
__attribute__((format(printf, 1, 2))) void notify_ready(const char *status, ...);
// To be followed by notify_ready(), whatever comes of it.
void notify_reloading(void);
void notify_stopping(void);
__attribute__((format(printf, 1, 2))) void notify_status(const char *status, ...);

// Still alive; due every notify_watchdog_period_us(), which is 0 when nobody has asked: half of the
// time after which the manager would end this process.
void notify_watchdog(void);
uint64_t notify_watchdog_period_us(void);
