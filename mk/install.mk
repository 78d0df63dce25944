# Installation below $(DESTDIR)$(PREFIX).

SBINDIR    := $(PREFIX)/sbin
LIBEXECDIR := $(PREFIX)/libexec/culvert
MANDIR     := $(PREFIX)/share/man
DOCDIR     := $(PREFIX)/share/doc/culvert
BASHDIR    := $(PREFIX)/share/bash-completion/completions
ZSHDIR     := $(PREFIX)/share/zsh/site-functions
UNITDIR    := $(PREFIX)/lib/systemd/system

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
	$Q install -D -m 644 -t $(DESTDIR)$(DOCDIR) config.example.toml README.md LICENSE
	$Q install -d $(DESTDIR)$(UNITDIR)
	$Q sed 's|/usr/local/sbin|$(SBINDIR)|' systemd/culvert.service >$(DESTDIR)$(UNITDIR)/culvert.service
	$Q chmod 644 $(DESTDIR)$(UNITDIR)/culvert.service

uninstall: ## remove what install has put there
	$(call say,REMOVE,$(DESTDIR)$(PREFIX))
	$Q rm -f $(addprefix $(DESTDIR)$(SBINDIR)/,culvert culvertctl) $(DESTDIR)$(BASHDIR)/culvertctl \
		$(addprefix $(DESTDIR)$(MANDIR)/man8/,culvert.8 culvertctl.8) $(DESTDIR)$(ZSHDIR)/_culvertctl \
		$(DESTDIR)$(MANDIR)/man5/culvert.toml.5 $(DESTDIR)$(UNITDIR)/culvert.service
	$Q rm -rf $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(DOCDIR)
