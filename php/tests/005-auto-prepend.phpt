--TEST--
auto_prepend.php does the same without the extension
--SKIPIF--
<?php if (!getenv('TEST_PHP_CGI_EXECUTABLE')) die('skip no php-cgi'); ?>
--FILE--
<?php
require __DIR__ . '/fcgi.inc';
$prepend = dirname(__DIR__) . '/auto_prepend.php';
$cgi = getenv('TEST_PHP_CGI_EXECUTABLE');
$sock = sys_get_temp_dir() . '/mailorigin-p' . getmypid() . '.sock';
$proc = proc_open([$cgi, '-n', '-b', $sock, '-d', "auto_prepend_file=$prepend"],
    [1 => STDERR, 2 => STDERR], $pipes, null,
    ['PATH' => getenv('PATH'), 'PHP_FCGI_CHILDREN' => '0']);
$server = fcgi_await($proc, $sock, $cgi);
$script = __DIR__ . '/child.php.inc';
foreach ([['MAILORIGIN_TOKEN' => 'AAaa-_09'], [], ['SSL_MAILORIGIN_TOKEN' => 'BB'],
          ['MAILORIGIN_TOKEN' => 'a b'], []] as $params) {
    echo fcgi_request($server, $script, $params), "\n";
}
fcgi_stop($server);
?>
--EXPECT--
[AAaa-_09]
[]
[BB]
[]
[]
