# The XDP programs that are built into culvert: the same for every variant.

xdp_objects := build/bpf/redirect.bpf.o build/bpf/redirect_tags.bpf.o

build/bpf/redirect_tags.bpf.o: BPF_FLAGS += -DSEES_TAGS

$(xdp_objects): bpf/redirect.bpf.c src/packet/xdp_parties.h
	$(if $(bpf_obstacle),@echo '$(bpf_obstacle) is missing: "make deps" installs it' >&2; exit 1)
	$(call say,BPF,$@)
	$Q mkdir -p $(@D) && $(BPF_CLANG) $(BPF_FLAGS) -c -o $@ $<

$O/src/packet/xdp_object.o: src/packet/xdp_object.S $(xdp_objects)
	$(call say,AS,$<)
	$Q mkdir -p $(@D) && $(CC) -DXDP_DIR=build/bpf -c -o $@ $<
