<?php
namespace Greet;

class Greeter
{
    public static function hello(): string { return "hello, packaged"; }
}
