# The BPF programs that are built into culvert: the same for every variant.

bpf_objects := $(addprefix build/bpf/,redirect.bpf.o redirect_tags.bpf.o fast_path.bpf.o)

build/bpf/redirect_tags.bpf.o: BPF_FLAGS += -DSEES_TAGS

build/bpf/redirect.bpf.o build/bpf/redirect_tags.bpf.o: bpf/redirect.bpf.c src/packet/xdp_frame.h
build/bpf/fast_path.bpf.o: bpf/fast_path.bpf.c src/packet/fast_entry.h
$(bpf_objects): $(wildcard bpf/*.bpf.h) src/packet/parties.h

$(bpf_objects):
	$(if $(bpf_obstacle),@echo '$(bpf_obstacle) is missing: "make deps" installs it' >&2; exit 1)
	$(call say,BPF,$@)
	$Q mkdir -p $(@D) && $(BPF_CLANG) $(BPF_FLAGS) -c -o $@ $<

$O/src/packet/bpf_objects.o: src/packet/bpf_objects.S $(bpf_objects)
	$(call say,AS,$<)
	$Q mkdir -p $(@D) && $(CC) -DBPF_DIR=build/bpf -c -o $@ $<
