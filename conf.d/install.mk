# What goes where; Makefile.apxs includes this.
#
# `install` never overwrites a file of settings that is there.  With DESTDIR it
# touches nothing of this host: no user, no keyring, nothing below RUNDIR, and
# no owner is set.  `uninstall` gives sendmail's place back, takes away what
# `install` put there, and leaves logs, state, keyring and changed settings.

HTTPDCONF ?= $(SYSCONFDIR)/apache2/mods-available
LOGROTATE ?= $(SYSCONFDIR)/logrotate.d
TMPFILES  ?= $(PREFIX)/lib/tmpfiles.d
SYSUSERS  ?= $(PREFIX)/lib/sysusers.d
COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
DOCDIR    ?= $(PREFIX)/share/doc/mailorigin

MO_SHARE  = $(PREFIX)/share/mailorigin
MANPAGES  = $(wildcard man/*.[158])
FILL = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' \
	-e 's|@LIBEXECDIR@|$(LIBEXECDIR)|g' -e 's|@RUNDIR@|$(RUNDIR)|g' \
	-e 's|@STATEDIR@|$(STATEDIR)|g' -e 's|@LOGDIR@|$(LOGDIR)|g' \
	-e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' -e 's|@MO_USER@|$(MO_USER)|g' \
	-e 's|@DOCDIR@|$(DOCDIR)|g'
# $(call fill,FROM,TO): installs it with the paths filled in
fill = $(FILL) $(1) > $(BUILD)/filled && \
	install -m 644 $(BUILD)/filled $(I)$(2)
# $(call keep,FROM,TO): the same, but what is there stays
keep = if [ ! -e $(1) ]; then :; elif [ -e $(I)$(2) ]; then echo "kept: $(I)$(2)"; else $(call fill,$(1),$(2)); fi
# $(call drop,FROM,TO): removes it, unless somebody changed it
drop = if [ -e $(I)$(2) ]; then $(FILL) $(1) > $(BUILD)/filled; \
	if cmp -s $(BUILD)/filled $(I)$(2); then rm -f $(I)$(2); \
	else echo "left, it was changed: $(I)$(2)"; fi; fi

install: build install-files
ifeq ($(DESTDIR),)
	@$(MAKE) --no-print-directory -f Makefile.apxs install-host
endif

.PHONY: install-files install-host uninstall-host
install-files: build
	install -d $(I)$(LIBEXECDIR) $(I)$(PREFIX)/bin $(I)$(LIBDIR) \
	    $(I)$(SYSCONFDIR)/mailorigin $(I)$(STATEDIR) $(I)$(LOGDIR) \
	    $(I)$(MANDIR)/man1 $(I)$(MANDIR)/man5 $(I)$(MANDIR)/man8 \
	    $(I)$(COMPLETIONS) $(I)$(HTTPDCONF) $(I)$(DOCDIR) $(I)$(MO_SHARE)
	install -m 644 $(BUILD)/mod_mailorigin.so $(I)$(LIBEXECDIR)/
	install -m 755 $(BUILD)/mailorigin $(I)$(PREFIX)/bin/mailorigin
	install -m 755 $(BUILD)/mailorigin-recorder $(I)$(LIBDIR)/recorder
	install -m 755 $(BUILD)/mailorigin-sendmail $(I)$(LIBDIR)/sendmail
	for m in $(MANPAGES); do \
	    $(FILL) $$m > $(BUILD)/filled && install -m 644 $(BUILD)/filled \
	        $(I)$(MANDIR)/man$${m##*.}/$${m##*/} || exit 1; done
	install -m 644 conf.d/mailorigin.bash $(I)$(COMPLETIONS)/mailorigin
	install -m 644 README.md CHANGES conf.d/mail/holding.txt $(I)$(DOCDIR)/
	for f in $(wildcard conf.d/share/*); do \
	    if [ -x $$f ]; then m=755; else m=644; fi; \
	    install -m $$m $$f $(I)$(MO_SHARE)/ || exit 1; done
	$(call fill,conf.d/httpd/mailorigin.load,$(HTTPDCONF)/mailorigin.load)
	@$(call keep,conf.d/httpd/mailorigin.conf,$(HTTPDCONF)/mailorigin.conf)
	@$(call keep,conf.d/mail/mailorigin.conf,$(SYSCONFDIR)/mailorigin/mailorigin.conf)
ifneq ($(MO_USER),)
	install -d $(I)$(UNITDIR) $(I)$(TMPFILES) $(I)$(SYSUSERS) $(I)$(LOGROTATE)
	$(call fill,conf.d/systemd/mailorigin-recorder.service.in,$(UNITDIR)/mailorigin-recorder.service)
	$(call fill,conf.d/systemd/mailorigin-recorder.socket.in,$(UNITDIR)/mailorigin-recorder.socket)
	$(call fill,conf.d/systemd/tmpfiles.conf.in,$(TMPFILES)/mailorigin.conf)
	$(call fill,conf.d/systemd/sysusers.conf.in,$(SYSUSERS)/mailorigin.conf)
	@$(call keep,conf.d/logrotate.in,$(LOGROTATE)/mailorigin)
endif

# What a package's scripts do elsewhere: user, owners, keyring.
install-host:
	install -d $(RUNDIR)
ifneq ($(MO_USER),)
	@if [ "$$(id -u)" = 0 ]; then \
	    getent passwd $(MO_USER) >/dev/null || \
	        useradd --system --user-group --no-create-home --home-dir / \
	            --shell /usr/sbin/nologin $(MO_USER) || exit 1; \
	    chown root:$(MO_USER) $(SYSCONFDIR)/mailorigin && \
	    chown $(MO_USER):$(MO_USER) $(STATEDIR) && \
	    if getent group adm >/dev/null; then g=adm; else g=$(MO_USER); fi && \
	    chown $(MO_USER):$$g $(LOGDIR) && chmod 2750 $(LOGDIR) || exit 1; \
	    if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi; \
	else echo "not root: user $(MO_USER) and owners are left to you"; fi
endif
	@[ -e $(SYSCONFDIR)/mailorigin/keyring ] || $(PREFIX)/bin/mailorigin key init

uninstall:
ifeq ($(DESTDIR),)
	@$(MAKE) --no-print-directory -f Makefile.apxs uninstall-host
endif
	@mkdir -p $(BUILD)
	rm -f $(I)$(LIBEXECDIR)/mod_mailorigin.so $(I)$(PREFIX)/bin/mailorigin \
	    $(I)$(LIBDIR)/recorder $(I)$(LIBDIR)/sendmail \
	    $(I)$(COMPLETIONS)/mailorigin $(I)$(HTTPDCONF)/mailorigin.load \
	    $(I)$(UNITDIR)/mailorigin-recorder.service \
	    $(I)$(UNITDIR)/mailorigin-recorder.socket \
	    $(I)$(TMPFILES)/mailorigin.conf $(I)$(SYSUSERS)/mailorigin.conf \
	    $(I)$(DOCDIR)/README.md $(I)$(DOCDIR)/CHANGES \
	    $(I)$(DOCDIR)/holding.txt
	for m in $(MANPAGES); do \
	    rm -f $(I)$(MANDIR)/man$${m##*.}/$${m##*/}; done
	for f in $(wildcard conf.d/share/*); do \
	    rm -f $(I)$(MO_SHARE)/$${f##*/}; done
	@$(call drop,conf.d/httpd/mailorigin.conf,$(HTTPDCONF)/mailorigin.conf)
	@$(call drop,conf.d/mail/mailorigin.conf,$(SYSCONFDIR)/mailorigin/mailorigin.conf)
	@$(call drop,conf.d/logrotate.in,$(LOGROTATE)/mailorigin)
	@for d in $(LIBDIR) $(DOCDIR) $(MO_SHARE) $(SYSCONFDIR)/mailorigin \
	    $(STATEDIR) $(LOGDIR); do \
	    [ ! -d $(I)$$d ] || rmdir $(I)$$d 2>/dev/null || \
	        echo "left: $(I)$$d"; done

	@rmdir $(addprefix $(I),$(MANDIR)/man1 $(MANDIR)/man5 $(MANDIR)/man8 \
	    $(COMPLETIONS) $(dir $(COMPLETIONS)) $(dir $(DOCDIR)) $(UNITDIR) \
	    $(dir $(UNITDIR)) $(TMPFILES) $(SYSUSERS)) 2>/dev/null || :

# httpd, systemd and the MTA must not look for what will be gone.
uninstall-host:
	@[ ! -x $(PREFIX)/bin/mailorigin ] || $(PREFIX)/bin/mailorigin unwrap
ifneq ($(MO_USER),)
	@rm -f $(SYSCONFDIR)/apache2/mods-enabled/mailorigin.load \
	    $(SYSCONFDIR)/apache2/mods-enabled/mailorigin.conf
	@if [ -d /run/systemd/system ]; then \
	    systemctl disable --now mailorigin-recorder.socket \
	        mailorigin-recorder.service || exit 1; fi
	@echo "restart httpd now; left: user $(MO_USER)"
endif
