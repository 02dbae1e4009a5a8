package main

import (
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"runtime"

	"example.com/words"
)

//go:embed greeting.txt
var greeting string

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s from %s\n", words.Trim(greeting), runtime.GOOS)
	})
	if err := http.ListenAndServe(":"+os.Getenv("PORT"), nil); err != nil {
		panic(err)
	}
}
