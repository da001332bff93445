package metrics_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/metrics"
)

// docs/operating.md lists every metric, and none that there is not.
func TestNewCollector_IsDocumented(t *testing.T) {
	descs := make(chan *prometheus.Desc, 1000)
	metrics.NewCollector().Describe(descs)
	close(descs)
	var named []string
	for d := range descs {
		named = append(named, regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1])
	}
	text, err := os.ReadFile("../docs/operating.md")
	require.NoError(t, err)
	documented := regexp.MustCompile(`\btarn_\w+`).FindAllString(string(text), -1)
	slices.Sort(named)
	slices.Sort(documented)
	require.Equal(t, named, slices.Compact(documented))
}
