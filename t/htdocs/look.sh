# Sourced by every program here: what it was given, and what is on the board.
printf 'vars:\n'
env | LC_ALL=C grep -a '^[A-Za-z_]*MAILORIGIN_[A-Z]*=.\|^UNIQUE_ID='
printf 'origin:\n'
"$MO_PEEK" token "$MO_PREFIX/etc/mailorigin/keyring" "$MAILORIGIN_TOKEN" 2>&1
printf 'board:\n'
"$MO_PEEK" board "$MO_PREFIX"/run/board/[1-9]* 2>&1
printf 'end.\n'
