package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tarnstream/tarn/processor"
)

// Asset is a row of the table soc-assets, keyed by the logging host: what the host is to us.
type Asset struct {
	Name  string `json:"name"`
	Owner string `json:"owner"`
	// Criticality is low, medium or high.
	Criticality string `json:"criticality"`
}

// String returns the asset as a part of a line.
func (a Asset) String() string { return fmt.Sprintf("%s of %s, %s", a.Name, a.Owner, a.Criticality) }

// inventory is what is known of the hosts of the generated lines, and of the one that wrote Loghub's log.
var inventory = map[string]Asset{
	"web1":  {"web shop", "Sales", "high"},
	"mail1": {"mail relay", "IT", "medium"},
	"db1":   {"customer database", "Sales", "high"},
	"LabSZ": {"lab server", "Research", "low"},
}

// fillAssets writes the inventory to the table's topic, as the program that keeps it elsewhere would.
func (a *app) fillAssets(ctx context.Context) error {
	emitter, err := processor.NewEmitter(a.monitor.inventory, a.options("")...)
	if err != nil {
		return err
	}
	for _, host := range slices.Sorted(maps.Keys(inventory)) {
		if err := emitter.Emit(ctx, host, inventory[host]); err != nil {
			return err
		}
	}
	return emitter.Close(ctx)
}
