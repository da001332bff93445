// Package figures turns the samples of a benchmark into what is shown: medians, ratios, a table and a plot.
package figures
