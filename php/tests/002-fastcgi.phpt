--TEST--
The token reaches a script's children in its own request, and no other
--SKIPIF--
<?php if (!getenv('TEST_PHP_CGI_EXECUTABLE')) die('skip no php-cgi'); ?>
--FILE--
<?php
require __DIR__ . '/fcgi.inc';
$server = fcgi_start();
$script = __DIR__ . '/child.php.inc';
foreach ([['MAILORIGIN_TOKEN' => 'AAaa-_09'],
          [],
          ['SSL_MAILORIGIN_TOKEN' => 'BB'],
          ['MAILORIGIN_TOKEN' => 'CC', 'SSL_MAILORIGIN_TOKEN' => 'DD'],
          ['MAILORIGIN_TOKEN' => 'EE', 'LATE' => '1'],
          ['MAILORIGIN_TOKEN' => 'FF', 'LIE' => 'gg'],
          [],
          ['LIE' => 'hh'],
          []] as $params) {
    echo fcgi_request($server, $script, $params), "\n";
}
fcgi_stop($server);
?>
--EXPECT--
[AAaa-_09]
[]
[BB]
[CC]
[EE] late: [EE]
[FF] lied: [gg]
[]
[] lied: [hh]
[]
