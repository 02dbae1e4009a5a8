module x

go banana
