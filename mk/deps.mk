# Debian packages. A machine with git and make alone is enough to start from.

DEPS := gcc g++ make pkg-config libpcap-dev libnet1-dev libmnl-dev libnftables-dev libyaml-dev \
	libtomlplusplus-dev libevent-dev libjansson-dev liburcu-dev libxxhash-dev libcap-ng-dev \
	libbpf-dev clang \
	libcurl4-openssl-dev libncurses-dev nodejs npm iproute2 nftables iptables nginx curl

# For the method bpf of tc/dsr-egress.sh, on backends: the first two build its program, the last runs it.
DEPS_DSR := clang libbpf-dev bpftool

DEPS_DEV := $(DEPS) $(DEPS_DSR) libcriterion-dev clang-format clang-tidy libclang-rt-14-dev llvm \
	shellcheck groff-base ethtool iputils-ping iputils-tracepath traceroute tcpdump wrk nghttp2-client haproxy \
	libnginx-mod-stream logrotate prometheus python3 python3-jsonschema python3-pyte python3-pytest \
	python3-pytest-xdist python3-scapy python3-yaml strace zsh chromium fonts-dejavu-core valgrind

.PHONY: deps deps-dsr deps-dev
deps: ## install what building and the demo need
	$Q tools/install-packages $(DEPS)

deps-dsr: ## install what backends in DSR mode need for translating by BPF
	$Q tools/install-packages make iproute2 $(DEPS_DSR)

deps-dev: ## install what tests, lint and benchmarks need as well
	$Q tools/install-packages $(DEPS_DEV)
