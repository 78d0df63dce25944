# The live page: sources in web/, its parts from npm's registry (the versions of package-lock.json),
# one bundle built into the binary. What npm brings stays below build/. WEB=0 builds without it.

WEB ?= 1

web_npm   := build/web/npm
web_tools := build/web/npm-dev
web_out   := build/web/out
web_srcs  := $(sort $(wildcard web/src/*.ts)) web/style.css
web_files := index.html page.js page.css favicon.svg
web_lock  := web/package.json web/package-lock.json

# Packages run nothing of theirs while they are installed. Node.js has its own list of authorities;
# those that the system trusts besides, behind a proxy of a company say, count as well.
npm_cas ?= /etc/ssl/certs/ca-certificates.crt
npm_ci = NODE_EXTRA_CA_CERTS="$${NODE_EXTRA_CA_CERTS:-$(wildcard $(npm_cas))}" \
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
define npm_install
	$Q command -v npm >/dev/null || { echo \
		'npm is missing: "make deps" installs it, "make WEB=0" builds without the live page' >&2; exit 1; }
	$(call say,NPM,$(@D))
	$Q mkdir -p $(@D) && cp $(web_lock) $(@D)/
	$Q (cd $(@D) && $(npm_ci) $(1) >/dev/null) || { echo \
		'npm could not fetch what the live page is made of; "make WEB=0" builds without it' >&2; exit 1; }
	$Q touch $@
endef

$(web_npm)/.installed: $(web_lock)
	$(call npm_install,--omit=dev)

# For lint and for the tests of the page.
$(web_tools)/.installed: $(web_lock)
	$(call npm_install)

# The licence of the charts goes where they go.
$(web_out)/.built: $(web_npm)/.installed $(web_srcs) web/index.html web/favicon.svg
	$(call say,WEB,$(web_out))
	$Q mkdir -p $(@D)
	$Q NODE_PATH=$(CURDIR)/$(web_npm)/node_modules $(web_npm)/node_modules/.bin/esbuild \
		page=web/src/main.ts page=web/style.css --bundle --minify --target=es2022 --format=esm \
		--charset=utf8 --log-level=warning --outdir=$(@D) \
		--banner:js="/* uPlot, $$(cat $(web_npm)/node_modules/uplot/LICENSE) */"
	$Q cp web/index.html web/favicon.svg $(@D)/
	$Q cd $(@D) && gzip -9 -n -k -f $(web_files)
	$Q touch $@

# One object with or without the files: a file says which it is, and is made anew to change it.
web_mode := $O/src/control/page_assets.web

ifneq ($(WEB),$(shell cat $(web_mode) 2>/dev/null))
.PHONY: $(web_mode)
endif
$(web_mode):
	$Q mkdir -p $(@D) && echo $(WEB) >$@

$O/src/control/page_assets.o: src/control/page_assets.S $(web_mode) \
		$(if $(filter-out 0,$(WEB)),$(web_out)/.built)
	$(call say,AS,$<)
	$Q mkdir -p $(@D) && $(CC) $(if $(filter-out 0,$(WEB)),-DWEB_DIR=$(web_out)) -c -o $@ $<

.PHONY: lint-web
lint-web: $(web_tools)/.installed
	$(call say,TSC,'$(words $(web_srcs)) files')
	$Q $(web_tools)/node_modules/.bin/tsc -p web
