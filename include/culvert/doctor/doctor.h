// SPDX-License-Identifier: Apache-2.0
// `culvert doctor`: looks at this host, its network and the backends for what would keep a
// configuration from working, and says what mends it. It changes nothing.
#pragma once

// The words of the command line behind "culvert", "doctor" being the first. Returns an exit code:
// 0 when nothing is wrong or there are warnings only, 1 when there is an error, 2 for a bad command
// line or configuration file.
int doctor_main(int argc, char **argv);
