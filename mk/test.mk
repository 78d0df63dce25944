# One binary per unit test file; each links the library.

unit_srcs := $(sort $(wildcard tests/unit/*.c))
unit_bins := $(unit_srcs:tests/unit/%.c=$O/tests/unit/%)
support_objs := $(patsubst %.c,$O/%.o,$(wildcard tests/support/lib/*.c))

$O/tests/unit/%: $O/tests/unit/%.o $(support_objs) $(lib)
	$(call say,LINK,$@)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) -lcriterion

.PHONY: unit
unit: $(unit_bins) ## build and run the unit tests and the golden packet tables
	$Q failed=0; for t in $(unit_bins); do $$t --jobs 2 || failed=1; done; exit $$failed
.SECONDARY:
