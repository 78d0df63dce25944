# Which lines of the packet path the unit tests, the packet tables and the fuzzers' corpus run
# through, by clang's source-based coverage in a variant of its own. Tests that need root count only
# when root runs them.

COVERAGE_MIN ?= 90
coverage_dirs := src/net src/flow src/packet

ifdef COVERAGE_BUILD
FLAGS += -fprofile-instr-generate -fcoverage-mapping
endif

.PHONY: coverage coverage-run
coverage: ## run the unit tests and show which lines of src/net, src/flow and src/packet they reach
	$Q $(hand_back) $(MAKE) --no-print-directory O=build/variant-coverage CC=clang COVERAGE_BUILD=1 \
		coverage-run

# The program comes first among the objects: what no test links counts as not reached. %m: the
# processes of one binary add to one file.
coverage_args = -instr-profile=$O/coverage.profdata $O/culvert $(unit_bins:%=-object %) $(coverage_dirs)

coverage-run: $O/culvert $(unit_bins)
	$Q $(RM) -r $O/profiles $O/html
	$Q LLVM_PROFILE_FILE=$(CURDIR)/$O/profiles/%2m.profraw $(MAKE) --no-print-directory O=$O CC=$(CC) \
		COVERAGE_BUILD=1 unit
	$Q llvm-profdata merge -sparse -o $O/coverage.profdata $O/profiles/*.profraw
	$Q llvm-cov show -format=html -output-dir=$O/html $(coverage_args)
	$Q llvm-cov export -summary-only $(coverage_args) | tests/coverage $(COVERAGE_MIN) $(coverage_dirs)
	@echo '  Line by line: $O/html/index.html'
