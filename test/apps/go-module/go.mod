module example.com/greeter/v2

go 1.22

require example.com/words v1.0.0

replace example.com/words => ./internal/words
