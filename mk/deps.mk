# Debian packages. A machine with git and make alone is enough to start from.

DEPS := gcc g++ make pkg-config libpcap-dev libnet1-dev libmnl-dev libnftables-dev libyaml-dev \
	libtomlplusplus-dev libevent-dev libjansson-dev liburcu-dev libxxhash-dev \
	iproute2 nftables iptables nginx curl

DEPS_DEV := $(DEPS) libcriterion-dev clang clang-format clang-tidy libclang-rt-14-dev llvm \
	shellcheck groff-base ethtool iputils-ping tcpdump wrk haproxy libnginx-mod-stream python3 python3-pytest

.PHONY: deps deps-dev
deps: ## install what building and the demo need
	$Q tools/install-packages $(DEPS)

deps-dev: ## install what tests, lint and benchmarks need as well
	$Q tools/install-packages $(DEPS_DEV)
