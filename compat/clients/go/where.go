package main

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// The line of the part that asserts.
func where() string {
	for skip := 2; ; skip++ {
		_, file, line, known := runtime.Caller(skip)
		if !known {
			return "?"
		}
		if name := filepath.Base(file); name != "main.go" && strings.HasSuffix(name, ".go") {
			return fmt.Sprintf("%s:%d", name, line)
		}
	}
}
