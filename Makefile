# culvert. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

VERSION := $(shell cat VERSION)
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= gcc
CXX     ?= g++
ifeq ($(origin CC),default)
CC  := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
ifneq (,$(findstring clang,$(CC)))
CXX := clang++
endif

# A variant is a compiler and a sanitizer; each keeps its objects to itself. The plain gcc build is `build/`.
SAN     ?=
WERROR  ?=
variant := $(strip $(if $(filter-out gcc,$(CC)),-$(notdir $(CC)))$(if $(SAN),-$(SAN)))
O       := build$(if $(variant),/variant$(variant))

V ?=
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

PACKAGES := libpcap libmnl libnftables yaml-0.1 libevent jansson liburcu-qsbr liburcu-cds libxxhash libcap-ng libbpf
# Recursive on purpose: a machine without the libraries must still be able to run `make deps`.
PKG_CFLAGS = $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS   = $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
# Of culvertctl alone.
CTL_LIBS   = $(shell pkg-config --libs libcurl ncursesw 2>/dev/null)

WARN := -Wall -Wextra -Wshadow -Wcast-qual -Wvla -Wformat=2 -Wundef $(if $(WERROR),-Werror)
CWARN := -Wstrict-prototypes -Wmissing-prototypes
OPT  ?= $(if $(SAN),-O1,-O2)
# Whose reports name functions and lines, and no variables; what else there is took a quarter of the
# compiler's time, and of the linker's for a hundred programs. With a debugger: DEBUG=-g.
DEBUG ?= $(if $(SAN),-g1,-g)
FLAGS := $(OPT) $(DEBUG) -fno-omit-frame-pointer -fstack-protector-strong -pthread \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all,-D_FORTIFY_SOURCE=2)
CPPFLAGS_ALL = -D_GNU_SOURCE -DCULVERT_VERSION='"$(VERSION)"' -Iinclude -Isrc $(PKG_CFLAGS) $(CPPFLAGS)
CFLAGS_ALL   = -std=c17 $(FLAGS) $(WARN) $(CWARN) $(CFLAGS)
CXXFLAGS_ALL = -std=c++17 $(FLAGS) $(WARN) $(CXXFLAGS)
# Sanitizer builds link a hundred large programs, which gold does in half the time (and warns of clang's runtime).
LINKER      := $(if $(SAN),$(if $(findstring clang,$(CC)),,$(if $(shell command -v ld.gold),-fuse-ld=gold)))
LDFLAGS_ALL  = $(FLAGS) $(LINKER) -Wl,-z,relro,-z,now $(LDFLAGS)
LIBS         = $(PKG_LIBS) -lnet -lstdc++ -lm

include mk/build.mk
include mk/web.mk
include mk/tc.mk
include mk/bpf.mk
include mk/deps.mk
include mk/test.mk
include mk/fuzz.mk
include mk/coverage.mk
include mk/lint.mk
include mk/bench.mk
include mk/install.mk

# The most useful first; those not named here come last.
help_order := all demo test deps deps-dsr deps-dev unit e2e lint format fuzz coverage bench install uninstall clean

.PHONY: help
help:
	@awk -F ':.*## ' -v order='$(help_order)' ' \
		function show(target) { \
			if (target in text) printf "  make %-12s %s\n", target, text[target]; \
			delete text[target] \
		} \
		/^[a-z0-9-]+:.*## / { text[$$1] = $$2 } \
		END { n = split(order, list, " "); for (i = 1; i <= n; i++) show(list[i]); \
			for (target in text) show(target) }' Makefile mk/*.mk
	@echo
	@echo '  SAN=address|undefined|thread  a sanitizer build, kept apart under build/'
	@echo '  CC=clang                      another compiler, likewise'
	@echo '  WEB=0                         without the live page, and so without npm'
	@echo '  WERROR=1 V=1                  warnings are errors; print every command'
