--TEST--
The extension is loaded and says so in phpinfo()
--SKIPIF--
<?php if (!extension_loaded('mailorigin')) die('skip not loaded'); ?>
--FILE--
<?php
ob_start();
phpinfo(INFO_MODULES);
preg_match('/^mailorigin => enabled\nVersion => (\S+)\nToken of this request => (.+)$/m',
    ob_get_clean(), $m);
echo $m[1] === phpversion('mailorigin') ? 'same version' : "phpinfo says $m[1]", "\n$m[2]\n";
?>
--EXPECT--
same version
none
