<?php
// What children of PHP inside of httpd see: the process environment.
header('Content-Type: text/plain');
if (isset($_GET['forge'])) {
    putenv('MAILORIGIN_TOKEN=forged');
    putenv('MAILORIGIN_ID');
}
if (isset($_GET['lookup'])) {
    apache_lookup_uri('/off/look.cgi');
    apache_lookup_uri('/process-inner.php');
}
if (isset($_GET['setenv']))
    apache_setenv('MAILORIGIN_ID', 'forged');
if (isset($_GET['inner']))
    virtual('/process-inner.php');
if (isset($_GET['cgi']))
    virtual('/look.cgi');
passthru('sh ' . getenv('MO_LOOK'));
