package words

import "strings"

func Trim(text string) string { return strings.TrimSpace(text) }
