# The XDP program that is built into culvert: the same for every variant.

xdp_object := build/bpf/redirect.bpf.o

$(xdp_object): bpf/redirect.bpf.c src/packet/xdp_parties.h
	$(if $(bpf_obstacle),@echo '$(bpf_obstacle) is missing: "make deps" installs it' >&2; exit 1)
	$(call say,BPF,$<)
	$Q mkdir -p $(@D) && $(BPF_CLANG) $(BPF_FLAGS) -Isrc -c -o $@ $<

$O/src/packet/xdp_object.o: src/packet/xdp_object.S $(xdp_object)
	$(call say,AS,$<)
	$Q mkdir -p $(@D) && $(CC) -DXDP_OBJECT=$(xdp_object) -c -o $@ $<
