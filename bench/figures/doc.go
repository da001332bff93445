// Package figures turns the samples of a benchmark into what is shown: medians, ratios, targets, tables, plots and documents.
// It measures nothing.
package figures
