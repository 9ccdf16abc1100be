# Debian packages that the tests and the bench need beside the demo's.
# One name a line, so that changes merge.
DEPS_TEST = \
	libapache2-mod-perl2 \
	libjson-perl \
	libcmocka-dev \
	jq \
	php-fpm \
	php-cgi \
	php-dev \
	libapache2-mod-fcgid \
	libapache2-mpm-itk \
	libapache2-mod-wsgi-py3 \
	gunicorn \
	nodejs \
	apache2-suexec-custom \
	apache2-utils \
	clang \
	clang-format \
	cppcheck \
	shellcheck \
	binutils \
	faketime \
	git \
	iproute2 \
	lintian \
	mandoc \
	procps \
	openssl \
	strace \
	postfix \
	systemd

DEPS_BENCH = \
	ripgrep \
	miller \
	jq \
	mawk \
	valgrind \
	hyperfine
