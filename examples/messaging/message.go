package main

import (
	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/topology"
)

type message struct {
	From string `json:"from"`
	To   string `json:"to"`
	Text string `json:"text"`
}

var (
	sent      = topology.NewStream("messages-sent", codec.JSON[message](), topology.Partitions(4))      // by sender
	delivered = topology.NewStream("messages-delivered", codec.JSON[message](), topology.Partitions(4)) // by receiver
	blocks    = topology.NewStream("block-user", codec.JSON[bool](), topology.Partitions(4))            // true blocks, false lets in again
	words     = topology.NewStream("translate-word", codec.String, topology.Partitions(1))              // the translation by word

	feeds      = topology.NewTable("feeds", codec.JSON[[]message]())
	blocked    = topology.NewTable("blocked", codec.JSON[bool]())
	dictionary = topology.NewTable("dictionary", codec.String)
	traffic    = topology.NewTable("traffic", codec.JSON[counts]())
)

// counts is what a user sent and got.
type counts struct {
	Sent int64 `json:"sent"`
	Got  int64 `json:"got"`
}
