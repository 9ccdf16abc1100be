--TEST--
What can be no token is not passed on
--SKIPIF--
<?php if (!getenv('TEST_PHP_CGI_EXECUTABLE')) die('skip no php-cgi'); ?>
--FILE--
<?php
require __DIR__ . '/fcgi.inc';
$server = fcgi_start();
$script = __DIR__ . '/child.php.inc';
foreach (['', 'a b', "a\nb", 'a=b', 'é', str_repeat('x', 5560),
          str_repeat('x', 60000)] as $bad) {
    echo fcgi_request($server, $script, ['MAILORIGIN_TOKEN' => $bad]), "\n";
}
echo strlen(fcgi_request($server, $script,
    ['MAILORIGIN_TOKEN' => str_repeat('x', 5559)])), "\n";
echo fcgi_request($server, $script,
    ['MAILORIGIN_TOKEN' => 'a b', 'SSL_MAILORIGIN_TOKEN' => 'ok']), "\n";
fcgi_stop($server);
?>
--EXPECT--
[]
[]
[]
[]
[]
[]
[]
5561
[ok]
