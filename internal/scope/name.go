package scope

import (
	"fmt"
	"strings"
)

// NameFault tells what Kafka would refuse in a topic's name, "" for nothing (org.apache.kafka.common.internals.Topic).
func NameFault(name string) string {
	switch {
	case name == "":
		return "the topic's name is empty"
	case name == "." || name == "..":
		return "Kafka refuses this topic name"
	case len(name) > 249:
		return fmt.Sprintf("the topic's name has %d bytes, Kafka takes 249", len(name))
	}
	bad := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-' {
			return -1
		}
		return r
	}, name)
	if bad != "" {
		return fmt.Sprintf("the topic's name has characters Kafka refuses: %q", bad)
	}
	return ""
}
