<?php
// Does what the extension does, for those who can't load it:
//   php_admin_value[auto_prepend_file] = /path/to/auto_prepend.php
// PHP undoes putenv() at the end of the request.
$mailorigin = getenv('MAILORIGIN_TOKEN') ?: getenv('SSL_MAILORIGIN_TOKEN');
if ($mailorigin && function_exists('putenv') && preg_match('/^[\w-]{1,5559}$/D', $mailorigin))
    putenv("MAILORIGIN_TOKEN=$mailorigin");
unset($mailorigin);
