// SPDX-License-Identifier: Apache-2.0
// Who may ask over TCP.
// Called by: control.
#pragma once

#include "control/api_request.h"

// True when the request may go on; else it is answered. `token` NULL: whoever reaches the port may
// look, as long as a web page of somewhere else did not send him (DNS rebinding): then the Host
// header has that page's name.
bool api_guard_admit(struct api_request *request, const char *token);
