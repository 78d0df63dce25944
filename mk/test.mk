# One binary per unit test file; each links the library.

unit_srcs := $(sort $(wildcard tests/unit/*.c))
ifeq ($(SAN),thread)
# Where nothing starts a second thread there is no race to be found.
threads   := pthread|base/thread|packet/engine|lib/rig[._]|lib/golden_run|lib/reload_lab|proxy_bench|ds/(ring|doorbell)|balance/grace
unit_srcs := $(sort $(shell grep -lE '$(threads)' tests/unit/*.c))
# The packet tables start an engine for every case, which is slow there and the same each time.
ifeq (,$(filter-out 0,$(NIGHTLY)))
unit_srcs := $(filter-out tests/unit/test_golden.c,$(unit_srcs))
endif
endif
unit_bins := $(unit_srcs:tests/unit/%.c=$O/tests/unit/%)
support_objs := $(patsubst %.c,$O/%.o,$(wildcard tests/support/lib/*.c))
# What several of them share and is made of assertions.
shared_objs := $(patsubst %.c,$O/%.o,$(wildcard tests/unit/lib/*.c))

# Criterion does not run under ThreadSanitizer, and with others its process for each test starts the
# sanitizer anew, which takes several times as long as most tests: the plain runner forks.
ifneq ($(SAN),)
criterion := $O/tests/support/plain/criterion.o
else
unit_libs := -lcriterion
endif
# Nor does ThreadSanitizer with all of the kernel's address randomisation.
unit_run := $(if $(findstring thread,$(SAN)),setarch -R)

# Tests are compiled far more often than run, and what they test is optimised as ever.
$O/tests/unit/%.o: CFLAGS += -O0 -U_FORTIFY_SOURCE

$O/tests/unit/%: $O/tests/unit/%.o $(shared_objs) $(support_objs) $(criterion) $(lib)
	$(call say,LINK,$@)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) $(unit_libs)

# The report of a sanitizer counts, too, from whichever process. A path with a comma is one value only
# in quotes. Tests that wait leave the processor to others: more than one at a time for each.
reports := $(CURDIR)/$O/sanitizer

.PHONY: unit
unit: $(unit_bins) ## build and run the unit tests and the golden packet tables
	$Q failed=0; $(RM) $(reports).*; \
	export ASAN_OPTIONS="$${ASAN_OPTIONS:-}:log_path='$(reports)'"; \
	printf '%s\n' $(unit_bins) | xargs -P $$((2 * $$(nproc))) -I{} bash -c \
		'$(unit_run) {} --jobs 4 >{}.log 2>&1 || status=$$?; cat {}.log; exit $${status:-0}' || failed=1; \
	if compgen -G '$(reports).*' >/dev/null; then cat $(reports).*; failed=1; fi; exit $$failed
.SECONDARY:

# Small programs that the end-to-end tests run in the lab's hosts.
support_shared := tests/support/args.c $(sort $(wildcard tests/support/stream/*.c))
support_srcs := $(filter-out $(support_shared),$(sort $(wildcard tests/support/*.c)))
support_bins := $(support_srcs:%.c=$O/%)

$O/tests/support/%: $O/tests/support/%.o $(support_shared:%.c=$O/%.o)
	$(call say,LINK,$@)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^

PYTEST := /usr/bin/python3 -m pytest

.PHONY: support e2e test demo
support: $(support_bins) $(if $(filter-out 0,$(WEB)),$(web_tools)/.installed)
	@:

e2e: ## run the end-to-end tests in network namespaces (root); E2E='-k udp' picks some
	$Q $(hand_back) $(MAKE) --no-print-directory all support
	$Q $(hand_back) CULVERT=$O/culvert SUPPORT=$O/tests/support $(PYTEST) tests/e2e $(E2E)

test: ## install what is missing, then test: unit with sanitizers, end to end (root); NIGHTLY=1 FULL=1: all
	$Q $(MAKE) --no-print-directory deps-dev
	$Q $(hand_back) tests/run

demo: ## install and build what is missing, then show it at work in a lab (root)
	$Q $(MAKE) --no-print-directory deps
	$Q $(hand_back) $(MAKE) --no-print-directory all
	$Q $(hand_back) tools/demo
