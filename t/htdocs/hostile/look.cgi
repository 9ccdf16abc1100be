#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
. "$MO_LOOK"
