<?php
require __DIR__ . '/lib/greet.php';
header('X-Seen: ' . ($_SERVER['HTTP_X_FORWARDED_PROTO'] ?? 'none'));
echo greet('PHP'), "\n";
