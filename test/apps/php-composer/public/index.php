<?php
require __DIR__ . "/../vendor/autoload.php";
echo Shop\Page::text(strtok($_SERVER["REQUEST_URI"], "?"));
