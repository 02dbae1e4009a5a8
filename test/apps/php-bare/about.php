<?php echo 'about', PHP_EOL;
