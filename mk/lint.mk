# Static checks, all of them blocking. What passed leaves a stamp, so that only what has changed is
# checked again.

lint_c       := $(sort $(wildcard src/*.c src/*/*.c tests/*/*.c tests/*/*/*.c))
lint_headers := $(sort $(wildcard include/culvert/*/*.h src/*.h src/*/*.h tests/*/*.h tests/*/*/*.h))
lint_bpf     := $(wildcard tc/*.bpf.c bpf/*.bpf.c)
lint_format  := $(lint_c) $(lint_headers) $(lint_bpf) $(wildcard bpf/*.bpf.h) $(sort $(wildcard src/*/*.cpp))
lint_man     := $(sort $(wildcard man/*.[1-9]))
# Commands have no ending: their first line tells.
lint_scripts := .ci/run $(wildcard tools/* iptables/* tc/* tc/lib/* vagrant/* vagrant/lib/* tests/* \
	tests/*/*)
# Completions are sourced, and have no first line that says so.
lint_shell    = $(wildcard tools/completion/*.bash) $(shell grep -lsE '^\#!/bin/(ba)?sh' $(lint_scripts))
lint_python   = $(shell grep -lsE '^\#!.*python' $(lint_scripts)) \
	$(wildcard tests/*/*.py tests/*/*/*.py)

L := build/lint
tidy_stamps   := $(lint_c:%=$L/%.tidy) $(lint_bpf:%=$L/%.tidy)
header_stamps := $(filter $L/include/%,$(lint_headers:%=$L/%.alone))

.PHONY: lint lint-format lint-shell lint-structure lint-python lint-man lint-vagrant \
	lint-web lint-units format
lint: ## check format, static analysis, layers, headers, scripts, licence lines
	$Q $(MAKE) --no-print-directory -j$$(nproc) lint-format lint-shell lint-structure lint-python \
		lint-man lint-vagrant lint-web lint-units
	$(call say,LINT,clean)

lint-units: $(header_stamps) $(tidy_stamps)
	@:

lint-format:
	$(call say,FORMAT,'$(words $(lint_format)) files')
	$Q clang-format --dry-run -Werror $(lint_format)

lint-shell:
	$(call say,SHELL,'$(words $(lint_shell)) scripts')
	$Q shellcheck $(lint_shell)

lint-structure:
	$(call say,LAYERS,'include src')
	$Q tools/check-layers
	$Q tools/check-spdx

lint-python:
	$(call say,PYTHON,'$(words $(lint_python)) files')
	$Q /usr/bin/python3 -c 'import ast, sys; [ast.parse(open(p).read(), p) for p in sys.argv[1:]]' \
		$(lint_python)

lint-man:
	$(call say,MAN,'$(lint_man)')
	$Q for page in $(lint_man); do \
		warnings=$$(groff -man -ww -z $$page 2>&1); \
		if [[ -n $$warnings ]]; then echo "$$warnings" >&2; exit 1; fi; \
	done

# Vagrant and Ruby are no small things to install: where they are not, their checks are skipped.
# --ignore-provider, since validating needs none.
vagrantfile := vagrant/Vagrantfile
lint_skip = printf '  %-7s %s: %s is not installed\n' SKIP $(1) $(2)

lint-vagrant:
	$(call say,VAGRANT,$(vagrantfile))
	$Q if command -v ruby >/dev/null; then ruby -wc $(vagrantfile) >/dev/null; \
		else $(call lint_skip,'ruby -c',ruby); fi
	$Q if command -v vagrant >/dev/null; then \
		mkdir -p $L; cd $(dir $(vagrantfile)); \
		VAGRANT_DOTFILE_PATH=$(CURDIR)/$L/vagrant vagrant validate --ignore-provider >/dev/null; \
		else $(call lint_skip,'vagrant validate',vagrant); fi

# The compiler writes down which headers a check depends on.
lint_flags = $(CPPFLAGS_ALL) -Itests/support -std=c17

# The analyzer stops in a function after so many steps. Few functions, parsers with a case for every key
# above all, need more than these, and those took most of the time: NIGHTLY=1 lets it go on.
tidy_steps := $(if $(filter-out 0,$(NIGHTLY)),225000,20000)
tidy_flags  = $(lint_flags) -Xclang -analyzer-config -Xclang max-nodes=$(tidy_steps)

# The analyzer walks the assertions of Criterion path by path: twenty times slower there, and what it
# finds is in the macros.
tidy_checks = $(if $(filter tests/unit/%,$<),--checks=-clang-analyzer-*)

$L/%.c.tidy: %.c .clang-tidy
	$(call say,TIDY,$<)
	$Q mkdir -p $(@D)
	$Q gcc $(lint_flags) -MM -MP -MT $@ -MF $@.d $<
	$Q clang-tidy --quiet $(tidy_checks) $< -- $(tidy_flags) >$@.log 2>&1 || \
		{ grep -v ' warnings\? generated' $@.log >&2; exit 1; }
	$Q touch $@

$L/%.bpf.c.tidy: %.bpf.c .clang-tidy
	$(call say,TIDY,$<)
	$Q mkdir -p $(@D)
	$Q clang-tidy --quiet $< -- $(BPF_FLAGS) >$@.log 2>&1 || \
		{ grep -v ' warnings\? generated' $@.log >&2; exit 1; }
	$Q touch $@

# A header compiles as the only thing in a file.
$L/%.h.alone: %.h
	$(call say,HEADER,$<)
	$Q mkdir -p $(@D)
	$Q gcc $(lint_flags) -MM -MP -MT $@ -MF $@.d -x c -include $< /dev/null
	$Q for cc in gcc clang; do \
		$$cc $(lint_flags) $(WARN) $(CWARN) -Werror -fsyntax-only -x c -include $< /dev/null; \
	done
	$Q touch $@

-include $(shell [ -d $L ] && find $L -name '*.d')

format: ## reformat all C and C++ in place
	$(call say,FORMAT,'$(words $(lint_format)) files')
	$Q clang-format -i $(lint_format)
