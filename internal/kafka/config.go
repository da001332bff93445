package kafka

import (
	"context"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"time"

	"github.com/IBM/sarama"
	metrics "github.com/rcrowley/go-metrics"
)

// SaramaConfig is the user's way to set TLS, SASL and client tuning. Net, ClientID and MetricRegistry are used;
// Version is raised where it is below what tarn needs; other fields mean nothing here and are named in a warning.
type SaramaConfig = sarama.Config

// minVersion is the protocol level sarama must allow for the requests tarn sends.
var minVersion = sarama.V3_0_0_0

// Config says how a Client connects.
type Config struct {
	// Brokers are the bootstrap addresses, host:port. At least one.
	Brokers []string
	// Sarama is optional.
	Sarama *SaramaConfig
	// Dial replaces the dialer, for a tunnel or a virtual network; it is asked again after any error. Optional; it excludes Sarama.Net.Proxy.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// ClientID is used where Sarama sets none.
	ClientID string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// saramaConfig makes sarama's config out of ours; the names of fields that mean nothing come back.
func (c Config) saramaConfig() (*sarama.Config, []string) {
	conf := sarama.NewConfig()
	defaultID := conf.ClientID
	conf.MetricRegistry = nilRegistry{}
	conf.ApiVersionsRequest = true
	conf.Version = minVersion
	conf.Net.ReadTimeout = 30 * time.Second
	var ignored []string
	if u := c.Sarama; u != nil {
		conf.Net, conf.ClientID = u.Net, u.ClientID
		if u.MetricRegistry != nil {
			conf.MetricRegistry = u.MetricRegistry
		}
		if u.Version.IsAtLeast(minVersion) {
			conf.Version = u.Version
		} else if u.Version != sarama.DefaultVersion {
			ignored = append(ignored, "Version (raised to "+minVersion.String()+")")
		}
		ignored = append(ignored, ignoredFields(u)...)
	}
	if c.ClientID != "" && conf.ClientID == defaultID {
		conf.ClientID = c.ClientID
	}
	return conf, ignored
}

// ignoredFields names the sections that the user changed and that tarn does not read.
func ignoredFields(u *sarama.Config) []string {
	def := sarama.NewConfig()
	var names []string
	for _, s := range []string{"Admin", "Metadata", "Producer", "Consumer"} {
		got, want := reflect.ValueOf(u).Elem().FieldByName(s), reflect.ValueOf(def).Elem().FieldByName(s)
		names = append(names, changed(s, got, want)...)
	}
	return names
}

func changed(path string, got, want reflect.Value) []string {
	switch got.Kind() {
	case reflect.Struct:
		var names []string
		for i := range got.NumField() {
			if f := got.Type().Field(i); f.IsExported() {
				names = append(names, changed(path+"."+f.Name, got.Field(i), want.Field(i))...)
			}
		}
		return names
	case reflect.Func:
		if got.Pointer() == want.Pointer() {
			return nil
		}
	case reflect.Slice, reflect.Interface, reflect.Map, reflect.Pointer:
		if sameStrategies(got.Interface(), want.Interface()) {
			return nil
		}
		if reflect.DeepEqual(got.Interface(), want.Interface()) {
			return nil
		}
	default:
		if got.Equal(want) {
			return nil
		}
	}
	return []string{path}
}

// sameStrategies compares by name: strategies hold functions, and those are equal to nothing.
func sameStrategies(got, want any) bool {
	g, ok := got.([]sarama.BalanceStrategy)
	w, _ := want.([]sarama.BalanceStrategy)
	return ok && slices.EqualFunc(g, w, func(a, b sarama.BalanceStrategy) bool { return a.Name() == b.Name() })
}

// nilRegistry spares the meters, and the process-wide ticker go-metrics starts with the first of them.
type nilRegistry struct{}

func (nilRegistry) Each(func(string, any))            {}
func (nilRegistry) Get(string) any                    { return nil }
func (nilRegistry) GetAll() map[string]map[string]any { return nil }
func (nilRegistry) Register(string, any) error        { return nil }
func (nilRegistry) RunHealthchecks()                  {}
func (nilRegistry) Unregister(string)                 {}
func (nilRegistry) UnregisterAll()                    {}
func (nilRegistry) GetOrRegister(_ string, metric any) any {
	switch metric.(type) {
	case func() metrics.Meter:
		return metrics.NilMeter{}
	case func() metrics.Counter:
		return metrics.NilCounter{}
	case func() metrics.Histogram:
		return metrics.NilHistogram{}
	}
	return metric
}
