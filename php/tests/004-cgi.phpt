--TEST--
Under plain CGI the environment is right already and stays as it is
--CGI--
--ENV--
MAILORIGIN_TOKEN=plaincgi
--FILE--
<?php
echo trim((string)shell_exec('echo "[$MAILORIGIN_TOKEN]"')), "\n";
ob_start();
phpinfo(INFO_MODULES);
echo strpos(ob_get_clean(), 'in the environment already') ? "left alone\n" : "touched\n";
?>
--EXPECT--
[plaincgi]
left alone
