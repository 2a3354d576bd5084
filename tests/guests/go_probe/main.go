// A Go reactor whose state is a map, strings and a goroutine: what a freeze has to keep of Go's runtime.
package main

import (
	"fmt"
	"sort"
	"strings"
)

var seen = map[int32]int32{}
var words []string
var numbers = make(chan int32)
var sums = make(chan int32)

func init() {
	go func() {
		sum := int32(0)
		for number := range numbers {
			sum += number
			sums <- sum
		}
	}()
}

//go:wasmexport add
func add(value int32) int32 {
	seen[value%5]++
	words = append(words, fmt.Sprintf("%d:%s", value, strings.Repeat("x", int(value%7))))
	keys := make([]int, 0, len(seen))
	for key := range seen {
		keys = append(keys, int(key))
	}
	sort.Ints(keys)
	numbers <- value
	sum := <-sums
	for i, key := range keys {
		sum += int32(i+1) * int32(key) * seen[int32(key)]
	}
	return sum + int32(len(strings.Join(words, ",")))
}

func main() {}
