package kafka

import (
	"encoding/hex"
	"strings"

	"github.com/tarnstream/tarn/state"
)

// A committed offset says nothing of the topic it belongs to: one that was deleted and created again under its name is
// read from the middle, and its first records are skipped in silence (R58). So the topic's id travels in the metadata
// of the commit: "tarn/1 topic=" and 32 hex digits. A later version only adds words at the end. What others have
// written there is no id: nothing is concluded from it.
const (
	metadataMark  = "tarn/"
	metadataV1    = "tarn/1"
	metadataTopic = "topic="
)

func encodeMetadata(id state.TopicID) string {
	if id == (state.TopicID{}) {
		return ""
	}
	return metadataV1 + " " + metadataTopic + hex.EncodeToString(id[:])
}

// decodeMetadata gives the zero id where there is none.
func decodeMetadata(s string) (id state.TopicID) {
	words := strings.Fields(s)
	if len(words) == 0 || !strings.HasPrefix(words[0], metadataMark) {
		return id
	}
	for _, w := range words[1:] {
		text, ok := strings.CutPrefix(w, metadataTopic)
		if raw, err := hex.DecodeString(text); ok && err == nil && len(raw) == len(id) {
			return state.TopicID(raw)
		}
	}
	return id
}
