package main

import (
	"fmt"
	"net/http"
	"os"

	"example.com/words"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, words.Greet()) })
	http.ListenAndServe(":"+os.Getenv("PORT"), nil)
}
