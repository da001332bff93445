package state_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

func TestObserverTee(t *testing.T) {
	var told []string
	observer := func(who string) state.Observer {
		tell := func(what string) { told = append(told, who+" "+what) }
		return state.Observer{
			Planned: func(state.Plan) { tell("planned") }, Reset: func(error) { tell("reset") },
			Quarantined: func(string, error) { tell("quarantined") },
		}
	}
	for _, o := range []state.Observer{observer("a").Tee(observer("b")), state.Observer{}.Tee(observer("c")), observer("d").Tee(state.Observer{})} {
		o.Planned(state.Plan{})
		o.Reset(errors.New("x"))
		o.Quarantined("", nil)
		require.Nil(t, o.Ready)
	}
	require.Equal(t, []string{"a planned", "b planned", "a reset", "b reset", "a quarantined", "b quarantined",
		"c planned", "c reset", "c quarantined", "d planned", "d reset", "d quarantined"}, told)
}
