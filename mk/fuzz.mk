# Fuzzers: clang's libFuzzer over the library, in a variant of its own. Whatever a run finds anew is
# kept under build/; what should be kept for good goes into tests/fuzz/corpus by hand.
# Linked as C++, whose part of the undefined-behaviour checker the TOML parser needs.

FUZZ_SECONDS ?= 60
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

.PHONY: fuzz fuzz-run corpus
fuzz: ## fuzz the packet path, the configuration and PROXY headers for FUZZ_SECONDS=60 each
	$Q $(MAKE) O=build/variant-fuzz CC=clang SAN=address,undefined FUZZ_BUILD=1 fuzz-run

fuzz-run: $(fuzz_names:%=$O/tests/fuzz/fuzz_%)
	$Q for name in $(fuzz_names); do \
		mkdir -p $O/corpus/$$name tests/fuzz/corpus/$$name; \
		echo "  FUZZ    $$name, $(FUZZ_SECONDS) s"; \
		$O/tests/fuzz/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
			-artifact_prefix=$O/corpus/$$name- $O/corpus/$$name \
			tests/fuzz/corpus/$$name 2>$O/corpus/$$name.log || \
			{ tail -n 60 $O/corpus/$$name.log; exit 1; }; \
		grep -E '^stat::(number_of_executed_units|average_exec)' $O/corpus/$$name.log; \
	done

corpus: $O/tests/fuzz/make_corpus ## write the fuzzers' seeds anew
	$Q mkdir -p tests/fuzz/corpus/parse tests/fuzz/corpus/pipeline tests/fuzz/corpus/proxy_header
	$Q$< tests/fuzz/corpus
