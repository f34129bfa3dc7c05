package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// takesNumber is the annotation of flags that mean something with and without a number, such as --recurring and
// --recurring=3.
const takesNumber = "cordon_takes_number"

// optionalNumber lets a flag be given without its number, which then is the given one.
func optionalNumber(f *pflag.FlagSet, name, number string) {
	flag := f.Lookup(name)
	flag.NoOptDefVal = number
	if flag.Annotations == nil {
		flag.Annotations = map[string][]string{}
	}
	flag.Annotations[takesNumber] = nil
}

// joinNumbers writes "--recurring 3" as "--recurring=3". Package pflag takes the value of a flag that may go without
// one from the same word only, and would take the number for an argument of the command. The commands with such flags have no
// arguments.
func joinNumbers(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil {
		return args
	}
	var out []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(out, args[i:]...)
		}
		word := args[i]
		if name, ok := strings.CutPrefix(word, "--"); ok && i+1 < len(args) {
			if flag := cmd.Flags().Lookup(name); flag != nil {
				_, optional := flag.Annotations[takesNumber]
				if _, err := strconv.ParseFloat(args[i+1], 64); optional && err == nil {
					i++
					word += "=" + args[i]
				}
			}
		}
		out = append(out, word)
	}
	return out
}
