# Objects, the static library that everything links, and the binaries.

src_c    := $(filter-out src/main.c src/ctl/main.c,$(sort $(wildcard src/*.c src/*/*.c)))
src_cpp  := $(sort $(wildcard src/*/*.cpp))
lib_objs := $(src_c:%.c=$O/%.o) $(src_cpp:%.cpp=$O/%.o) $O/src/control/page_assets.o \
	$O/src/packet/bpf_objects.o
lib      := $O/libculvert.a

.PHONY: all clean
all: $O/culvert $O/culvertctl ## build build/culvert and build/culvertctl (the default)

$O/culvert: $O/src/main.o $(lib)
	$(call say,LINK,$@)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$O/culvertctl: $O/src/ctl/main.o $(lib)
	$(call say,LINK,$@)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) $(CTL_LIBS)

$(lib): $(lib_objs)
	$(call say,AR,$@)
	$Q$(RM) $@ && $(AR) rcs $@ $^

$O/%.o: %.c VERSION
	$(call say,CC,$<)
	$Q mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$O/%.o: %.cpp
	$(call say,CXX,$<)
	$Q mkdir -p $(@D) && $(CXX) $(CPPFLAGS_ALL) $(CXXFLAGS_ALL) -MMD -MP -c -o $@ $<

-include $(shell [ -d $O ] && find $O -name '*.d')

clean: ## remove everything built
	$(call say,RM,build)
	$Q$(RM) -r build

# Begins a line of a recipe that root runs and that builds: under sudo, what is built belongs to who
# called it, however the line ends.
hand_back = trap '[[ -z $${SUDO_UID:-} || ! -d build ]] || chown -R "$$SUDO_UID:$${SUDO_GID:-}" build' EXIT;
