# Benchmarks: ratios to peers on the same machine in the same run.

.PHONY: bench
bench: ## compare with HAProxy and nginx in a lab (ARGS=... for tests/bench/compare)
	$(Q)$(MAKE) --no-print-directory deps-dev
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/bench/compare $(ARGS)
