<?php
function greet(string $what): string { return "hello from $what"; }
