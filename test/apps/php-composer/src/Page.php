<?php
namespace Shop;

class Page
{
    public static function text(string $path): string
    {
        return \Greet\Greeter::hello() . " at $path, " . file_get_contents(__DIR__ . "/../compiled.txt") . "\n";
    }
}
