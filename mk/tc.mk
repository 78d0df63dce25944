# The BPF program for backends in DSR mode: the same for every variant and machine of this byte order.
# culvert itself does without, so a machine that cannot build it is told, and no more.

bpf_object := build/tc/dsr_egress.bpf.o
BPF_CLANG  ?= clang
BPF_FLAGS   = -target bpf -mcpu=v2 -O2 -g -std=gnu17 -Isrc -Wall -Wextra -Wshadow -Wcast-qual -Werror \
	-isystem /usr/include/$(shell $(BPF_CLANG) -print-multiarch)

# Empty, or what keeps the program from being built.
bpf_obstacle = $(shell command -v $(BPF_CLANG) >/dev/null || { echo clang; exit; }; \
	echo '#include <bpf/bpf_helpers.h>' | $(BPF_CLANG) -E -x c - >/dev/null 2>&1 || echo libbpf-dev)

all: $(bpf_object)

$(bpf_object): tc/dsr_egress.bpf.c
	$(if $(bpf_obstacle),$(bpf_skip),$(bpf_build))

bpf_skip = @printf '  %-7s %s: %s is not installed ("make deps-dsr" does that)\n' SKIP $@ '$(bpf_obstacle)'

define bpf_build
$(call say,BPF,$<)
$Q mkdir -p $(@D) && $(BPF_CLANG) $(BPF_FLAGS) -c -o $@ $<
endef
