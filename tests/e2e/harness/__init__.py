# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests stand on: labs, the program under test, clients."""
