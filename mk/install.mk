# Installation below $(DESTDIR)$(PREFIX), and the configuration below $(DESTDIR)$(SYSCONFDIR).

SYSCONFDIR ?= /etc
SBINDIR     := $(PREFIX)/sbin
LIBEXECDIR  := $(PREFIX)/libexec/culvert
MANDIR      := $(PREFIX)/share/man
DOCDIR      := $(PREFIX)/share/doc/culvert
BASHDIR     := $(PREFIX)/share/bash-completion/completions
ZSHDIR      := $(PREFIX)/share/zsh/site-functions
UNITDIR     := $(PREFIX)/lib/systemd/system
SYSUSERSDIR := $(PREFIX)/lib/sysusers.d
CONFDIR     := $(SYSCONFDIR)/culvert
ROTATEDIR   := $(SYSCONFDIR)/logrotate.d

conf_file := $(DESTDIR)$(CONFDIR)/culvert.toml

# What install may have made: below PREFIX those that no system has of its own, and for packagers all.
made_dirs := libexec share/doc share/bash-completion/completions share/zsh/site-functions \
	lib/systemd/system lib/sysusers.d
staged_dirs := $(patsubst /%,%,$(SBINDIR) $(MANDIR)/man5 $(MANDIR)/man8 $(made_dirs:%=$(PREFIX)/%) \
	$(ROTATEDIR))

.PHONY: install uninstall
install: all ## install below PREFIX (/usr/local); DESTDIR= for packagers
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$Q install -D -m 755 -t $(DESTDIR)$(SBINDIR) $O/culvert $O/culvertctl
	$Q install -D -m 755 iptables/setup.sh $(DESTDIR)$(LIBEXECDIR)/iptables-setup
	$Q install -D -m 755 -t $(DESTDIR)$(LIBEXECDIR)/tc tc/*.sh
	$Q install -D -m 644 -t $(DESTDIR)$(LIBEXECDIR)/tc tc/README.md $(wildcard $(bpf_object))
	$Q install -D -m 644 -t $(DESTDIR)$(LIBEXECDIR)/tc/lib tc/lib/*.sh
	$Q install -D -m 644 -t $(DESTDIR)$(MANDIR)/man8 man/culvert.8 man/culvertctl.8
	$Q install -D -m 644 -t $(DESTDIR)$(MANDIR)/man5 man/culvert.toml.5
	$Q install -D -m 644 tools/completion/culvertctl.bash $(DESTDIR)$(BASHDIR)/culvertctl
	$Q install -D -m 644 -t $(DESTDIR)$(ZSHDIR) tools/completion/_culvertctl
	$Q install -D -m 644 -t $(DESTDIR)$(DOCDIR) config.example.toml LICENSE $(wildcard *.md)
	$Q install -D -m 644 -t $(DESTDIR)$(DOCDIR)/docs $(wildcard docs/*.*)
	$Q install -D -m 644 -t $(DESTDIR)$(DOCDIR)/docs/decisions $(wildcard docs/decisions/*.md)
	$Q install -D -m 644 -t $(DESTDIR)$(DOCDIR)/tc tc/README.md
	$Q install -D -m 644 systemd/culvert.sysusers $(DESTDIR)$(SYSUSERSDIR)/culvert.conf
	$Q install -D -m 644 systemd/culvert.logrotate $(DESTDIR)$(ROTATEDIR)/culvert
	$Q install -d $(DESTDIR)$(UNITDIR)
	$Q sed -e 's|/usr/local/sbin|$(SBINDIR)|' -e 's|/etc/culvert|$(CONFDIR)|' systemd/culvert.service \
		>$(DESTDIR)$(UNITDIR)/culvert.service
	$Q chmod 644 $(DESTDIR)$(UNITDIR)/culvert.service
	$Q if [[ -e $(conf_file) ]]; then echo '  KEEP    $(conf_file): it was there'; \
		else install -D -m 644 systemd/culvert.toml $(conf_file); \
		echo '  NEW     $(conf_file): to be edited'; fi
	$Q [[ -n '$(DESTDIR)' ]] || ! command -v systemd-sysusers >/dev/null || \
		systemd-sysusers $(SYSUSERSDIR)/culvert.conf

uninstall: ## remove what install has put there
	$(call say,REMOVE,$(DESTDIR)$(PREFIX))
	$Q rm -f $(addprefix $(DESTDIR)$(SBINDIR)/,culvert culvertctl) $(DESTDIR)$(BASHDIR)/culvertctl \
		$(addprefix $(DESTDIR)$(MANDIR)/man8/,culvert.8 culvertctl.8) $(DESTDIR)$(ZSHDIR)/_culvertctl \
		$(DESTDIR)$(MANDIR)/man5/culvert.toml.5 $(DESTDIR)$(UNITDIR)/culvert.service \
		$(DESTDIR)$(SYSUSERSDIR)/culvert.conf $(DESTDIR)$(ROTATEDIR)/culvert
	$Q rm -rf $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(DOCDIR)
	$Q if cmp -s systemd/culvert.toml $(conf_file); then rm $(conf_file); \
		elif [[ -e $(conf_file) ]]; then echo '  KEEP    $(conf_file): it was edited'; fi
	$Q rmdir $(DESTDIR)$(CONFDIR) 2>/dev/null || true
	$Q cd $(or $(DESTDIR),$(PREFIX)) 2>/dev/null || exit 0; \
		for dir in $(if $(DESTDIR),$(staged_dirs),$(made_dirs)); do \
			while [[ $$dir != . ]] && rmdir "$$dir" 2>/dev/null; do dir=$$(dirname "$$dir"); done; \
		done
