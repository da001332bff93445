package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/tarnstream/tarn/examples/protobuf/sensorpb"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"), // ends a second after its DB
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))  // sarama's, for the life of the process
}

func Example() {
	main()
	// Output:
	// cellar: 2 readings from 11.0 to 12.5
	// roof: 3 readings from -3.5 to 4.0
}

func TestCodec_AppendsAndDecodesAfresh(t *testing.T) {
	c := protobufOf[*sensorpb.Reading]()
	data, err := c.Encode([]byte("before"), &sensorpb.Reading{Celsius: 7})
	require.NoError(t, err)
	require.Equal(t, "before", string(data[:6]))
	one, err := c.Decode(data[6:])
	require.NoError(t, err)
	two, err := c.Decode(data[6:])
	require.NoError(t, err)
	require.NotSame(t, one, two)
	require.True(t, proto.Equal(one, two))
	_, err = c.Decode([]byte{0xff})
	require.Error(t, err)
}

func FuzzCodec_Decode(f *testing.F) {
	c := protobufOf[*sensorpb.Summary]()
	f.Add([]byte{8, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := c.Decode(data)
		if err != nil {
			return
		}
		again, err := c.Encode(nil, m)
		require.NoError(t, err)
		back, err := c.Decode(again)
		require.NoError(t, err)
		third, err := c.Encode(nil, back)
		require.NoError(t, err)
		require.Equal(t, again, third)
	})
}
