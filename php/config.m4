dnl phpize && ./configure && make && make install
PHP_ARG_ENABLE([mailorigin],
  [whether to enable mailorigin],
  [AS_HELP_STRING([--enable-mailorigin],
    [Hand mod_mailorigin's token to the programs PHP runs])],
  [yes])

if test "$PHP_MAILORIGIN" != "no"; then
  PHP_NEW_EXTENSION([mailorigin], [mailorigin.c], [$ext_shared])
fi
