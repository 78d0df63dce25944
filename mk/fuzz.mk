# Fuzzers: clang's libFuzzer over the library, in a variant of its own. Whatever a run finds anew is
# kept under build/; what should be kept for good goes into tests/fuzz/corpus, the least that reaches
# the same, by `make fuzz-keep`.
# Linked as C++, whose part of the undefined-behaviour checker the TOML parser needs.

FUZZ_SECONDS ?= 60
, := ,
fuzz_srcs := $(sort $(wildcard tests/fuzz/fuzz_*.c))
fuzz_names := $(fuzz_srcs:tests/fuzz/fuzz_%.c=%)

ifdef FUZZ_BUILD
CFLAGS += -fsanitize=fuzzer-no-link
CXXFLAGS += -fsanitize=fuzzer-no-link
endif

$O/tests/fuzz/fuzz_%: $O/tests/fuzz/fuzz_%.o $(support_objs) $(lib)
	$(call say,LINK,$@)
	$Q$(CXX) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LIBS)

$O/tests/fuzz/make_corpus: $O/tests/fuzz/make_corpus.o $(support_objs) $(lib)
	$(call say,LINK,$@)
	$Q$(CXX) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

# The packet path gets the time, the others a third of it: on two processors, both end together.
fuzz_others := $(filter-out pipeline,$(fuzz_names))
fuzz_make = $(MAKE) --no-print-directory OPT=-O2 O=build/variant-fuzz CC=clang SAN=address,undefined FUZZ_BUILD=1

# With them, everything has been compiled by clang.
fuzz_targets := $(addprefix build/variant-fuzz/,$(fuzz_names:%=tests/fuzz/fuzz_%) src/main.o src/ctl/main.o)

.PHONY: fuzz fuzz-programs fuzz-keep corpus fuzz-others $(fuzz_names:%=fuzz-run-%) $(fuzz_names:%=fuzz-keep-%)
fuzz: ## fuzz the packet path for FUZZ_SECONDS=60, configuration, parser and PROXY headers for 20
	$Q $(MAKE) --no-print-directory fuzz-programs
	$Q $(fuzz_make) -j2 fuzz-run-pipeline fuzz-others

fuzz-programs:
	$Q $(fuzz_make) -j$$(nproc) $(fuzz_targets)

fuzz-others:
	+$Q for name in $(fuzz_others); do \
		$(fuzz_make) FUZZ_SECONDS=$$((($(FUZZ_SECONDS) + 2) / 3)) fuzz-run-$$name; \
	done

$(fuzz_names:%=fuzz-run-%): fuzz-run-%: $O/tests/fuzz/fuzz_%
	$(call say,FUZZ,'$*$(,) $(FUZZ_SECONDS) s')
	$Q mkdir -p $O/corpus/$* tests/fuzz/corpus/$*
	$Q $< -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -artifact_prefix=$O/corpus/$*- \
		$O/corpus/$* tests/fuzz/corpus/$* 2>$O/corpus/$*.log || \
		{ tail -n 60 $O/corpus/$*.log; exit 1; }
	$Q grep -E '^stat::(number_of_executed_units|average_exec)' $O/corpus/$*.log

fuzz-keep: ## keep the least of what the fuzzers have found that reaches as much of the code
	$Q $(fuzz_make) $(fuzz_names:%=fuzz-keep-%)

$(fuzz_names:%=fuzz-keep-%): fuzz-keep-%: $O/tests/fuzz/fuzz_%
	$Q mkdir -p $O/corpus/$* tests/fuzz/corpus/$*
	$Q $< -merge=1 -use_counters=0 tests/fuzz/corpus/$* $O/corpus/$* 2>&1 | grep -E '^MERGE-OUTER: .* new files'

corpus: $O/tests/fuzz/make_corpus ## write the fuzzers' seeds anew
	$Q mkdir -p tests/fuzz/corpus/parse tests/fuzz/corpus/pipeline tests/fuzz/corpus/proxy_header
	$Q$< tests/fuzz/corpus
