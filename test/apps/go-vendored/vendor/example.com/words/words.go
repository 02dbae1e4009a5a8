package words

func Greet() string { return "hello, vendored" }
