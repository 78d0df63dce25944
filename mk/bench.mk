# Benchmarks: ratios to peers on the same machine in the same run, and the packet path by itself.

bench_O := $O/tests/bench
bench_bins := $(addprefix $(bench_O)/,packet_path null_forwarder frame_flood)
bench_objs := $O/tests/support/args.o
path_objs := $(addprefix $(bench_O)/,path_load.o bench_parts.o) \
	$(addprefix $O/tests/support/lib/,pump.o mem_io.o scene.o frame.o)

$(bench_O)/%.o: CPPFLAGS += -Itests/support
$(bench_O)/packet_path: $(path_objs)

$(bench_O)/%: $(bench_O)/%.o $(bench_objs) $(lib)
	$(call say,LINK,$@)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(lib) $(LIBS)

# `make bench ROW=keepalive-100`, `make bench QUICK=1`; ARGS is for tests/bench/run as it is.
bench_args = $(if $(ROW),--rows $(ROW)) $(if $(QUICK),--quick) $(ARGS)

.PHONY: bench bench-programs bench-micro bench-compare
bench-programs: $(bench_bins)

support: $(bench_bins) # tests run them, too

bench: ## measure beside HAProxy, nginx and the kernel (root); ROW=keepalive-100, QUICK=1
	$Q $(hand_back) $(MAKE) --no-print-directory deps-dev
	$Q $(hand_back) $(MAKE) --no-print-directory all bench-programs
	$Q $(hand_back) tests/bench/run --out build/bench $(bench_args)

bench-micro: $(bench_O)/packet_path ## nanoseconds and instructions per packet, without a network
	$Q tests/bench/micro --program $< --instructions $(ARGS)

bench-compare: $(bench_O)/packet_path ## the same of another revision beside it: BASE=main
	$Q tests/bench/micro-compare --program $< --base '$(or $(BASE),$(error say with what to compare: BASE=main))' $(ARGS)
