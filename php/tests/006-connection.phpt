--TEST--
The programs that a script runs have the FastCGI connection
--SKIPIF--
<?php if (!getenv('TEST_PHP_CGI_EXECUTABLE')) die('skip no php-cgi'); ?>
--FILE--
<?php
require __DIR__ . '/fcgi.inc';
$server = fcgi_start();
for ($i = 0; $i < 3; $i++) {
    echo fcgi_request($server, __DIR__ . '/sockets.php.inc'), "\n";
}
fcgi_stop($server);
?>
--EXPECT--
1 accepted
1 accepted
1 accepted
